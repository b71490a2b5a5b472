"""The model store: models on disk that were checked when they came in and are checked again when they are opened.

Layout, ``format_version`` 1 (a manifest of another version is refused)::

    <store>/
      store.lock                    held by the one process that changes the store
      models/
        .staging-<random>/          0700; a model that is being built, swept by the next change
        .pull-<key>-<commit>/       0700; files that a pull has fetched so far, kept until the model is in
        .used-<key>                 its time is that of the last load by a replica
        .replaced-<key>/            the old model for the moment in which the new one takes its place
        <key>/
          manifest.json             every other file below <key> with sha256 and size; written last
          files/...                 the model's files as its source has them, plain and read-only
          artefacts/<id>/           what was made from them: encoder.onnx, tokenizer.json, encoder.json, memory.json

A model is built in a staging folder and renamed into place, so that an interruption leaves the old model or the new one.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from model_store import attachment, convert, measure, prove
from model_store.adoption import Maker, Progress, Workshop, build, is_fresh, matches, pinned
from model_store.catalogue import Catalogue, ModelSpec, load_catalogue
from model_store.errors import GateClosed, ModelNotPulled, StoreBusy, TamperedModel, UnknownModel
from model_store.gate import Gate, Reduced, command, read_gate, why_closed
from model_store.lock import MANIFEST, FileDigest, Manifest, Precision
from model_store.pickled import unpickled
from model_store.sources import LocalFolder, Source, source_of
from model_store.stored_model import StoredModel
from model_store.verify import Verification, verify_folder

_STAGING, _PULL, _REPLACED, _USED = ".staging-", ".pull-", ".replaced-", ".used-"


class ModelStore:
    """The models below one folder. ``catalogue`` holds the locks that stored files must match, by default ours."""

    def __init__(
        self,
        root: Path,
        catalogue: Catalogue | None = None,
        converter: Maker = convert.in_child_process,
        prover: Maker = prove.in_child_process,
        lock_timeout_s: float = 600.0,
    ) -> None:
        self.root = root
        self._models = root / "models"
        self._lock_path = root / "store.lock"
        self._catalogue = catalogue
        self._workshop = Workshop(converter, prover)
        self._lock_timeout_s = lock_timeout_s

    def adopt(self, spec: ModelSpec, progress: Progress | None = None) -> Path:
        """Bring a model in, or prove that it is in already; returns its folder. Idempotent.

        Raises ``SourceUnavailable``, ``TamperedModel``, ``ConversionFailed``, ``StoreBusy``.
        """
        say: Progress = progress or (lambda message: None)
        folder = self._models / spec.key
        with self.changing():
            manifest = Manifest.read(folder, spec.key) if folder.exists() else None
            stored = manifest is not None and matches(manifest, spec)
            if manifest and stored:
                verify_folder(folder, manifest).require()
                if is_fresh(manifest, folder / "files", spec.task):
                    return folder
                say(f"{spec.key}: the converter or its runtime changed, converting again")
                if manifest.int8:
                    say(f"{spec.key}: its 8-bit graph goes; {command(spec.key)} makes it again")
                if manifest.fp16:
                    say(f"{spec.key}: its 16-bit gate goes; {command(spec.key, 'fp16')} runs it again")
                spec = pinned(spec, manifest)
            source = LocalFolder(folder / "files") if stored else source_of(spec)
            self._build(spec, source, say)
        say(f"{spec.key}: in the store")
        return folder

    def install_pulled(
        self, spec: ModelSpec, commit: str, fetched: Path, digests: Mapping[str, FileDigest], say: Progress
    ) -> None:
        """Build a model out of the files below ``fetched/files`` and put it into place; ``fetched`` is gone afterwards.

        Call it while ``changing``. Raises ``TamperedModel``, ``UntrustedArtefact``, ``ConversionFailed``.
        """
        locked = unpickled(spec, fetched / "files", digests, say)
        self._build(spec.model_copy(update={"revision": commit, "files": locked}), LocalFolder(fetched / "files"), say)
        shutil.rmtree(fetched)
        say(f"{spec.key}: in the store")

    def _build(self, spec: ModelSpec, source: Source, say: Progress) -> None:
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._models))
        build(spec, source, staging, self._workshop, say)
        self._install(staging, self._models / spec.key)

    def revision(self, key: str) -> str | None:
        """The commit of the model in the store, unverified; None when it is not there."""
        try:
            return Manifest.read(self.path(key), key).revision
        except (ModelNotPulled, TamperedModel):
            return None

    def process_bytes(self, key: str, precision: Precision = "fp32") -> int | None:
        """Memory that a process with the model took when it came in, unverified; None where it was not measured."""
        try:
            folder = self.path(key)
            manifest = Manifest.read(folder, key)
        except (ModelNotPulled, TamperedModel):
            return None
        artefact = manifest.made(precision)
        return measure.process_bytes(folder / artefact.folder) if artefact else None

    def pull_folder(self, key: str, commit: str) -> Path:
        """Where a pull of this commit collects its files."""
        return self._models / f"{_PULL}{key}-{commit[:12]}"

    def path(self, key: str) -> Path:
        """Folder of an adopted model, unverified. Raises ``ModelNotPulled``, ``UnknownModel``."""
        if not key or key.startswith(".") or set(key) & set("/\\\0"):
            raise UnknownModel(key)
        folder = self._models / key
        if folder.exists():
            return folder
        replaced = self._models / f"{_REPLACED}{key}"
        if not replaced.exists():
            raise ModelNotPulled(key)
        return replaced

    def verify(self, key: str) -> Verification:
        """Compare every file with the manifest. Raises ``ModelNotPulled``, and ``TamperedModel`` for the manifest."""
        folder = self.path(key)
        return verify_folder(folder, self._manifest(folder, key))

    def open(self, key: str, precision: Precision = "fp32", gpu: str = "") -> StoredModel:
        """A model whose every byte was compared just now. ``gpu``: name of the one that 16 bits are for.

        Raises ``ModelNotPulled``, ``TamperedModel``; in fewer bits ``GateClosed`` when the accuracy gate does not allow
        them.
        """
        folder = self.path(key)
        manifest = self._manifest(folder, key)
        verify_folder(folder, manifest).require()
        stored = StoredModel(
            key, manifest.id, manifest.revision, folder, manifest.artefact, heads=self._known().heads_of(key)
        )
        if precision == "fp32":
            return stored
        if (why := why_closed(manifest, folder, precision, gpu)) is not None:
            raise GateClosed(key, why)
        revision = f"{stored.revision}+{precision}"
        return replace(stored, revision=revision, artefact=manifest.made(precision), precision=precision)

    def gate(self, key: str, precision: Reduced = "int8") -> Gate | None:
        """The accuracy gate's record, unverified; None where none was run.

        Raises ``ModelNotPulled``, ``TamperedModel``, ``ConversionFailed``.
        """
        folder = self.path(key)
        return read_gate(Manifest.read(folder, key), folder, precision)

    def why_closed(self, key: str, precision: Reduced = "int8", gpu: str = "") -> str | None:
        """Why the model may not serve in fewer bits here, unverified; None when it may. Raises as ``gate`` does."""
        folder = self.path(key)
        return why_closed(Manifest.read(folder, key), folder, precision, gpu)

    def attach(self, key: str, made: Path, made_with: Mapping[str, str], precision: Reduced = "int8") -> None:
        """Put the files in ``made`` beside a model as its artefact of this precision; it loses its signature.

        Raises ``ModelNotPulled``, ``TamperedModel``, ``ConversionFailed``, ``StoreBusy``.
        """
        with self.changing():
            folder = self.path(key)
            manifest = self._manifest(folder, key)
            verify_folder(folder, manifest).require()
            staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._models))
            attachment.attach(manifest, folder, made, made_with, staging, precision)
            self._install(staging, folder)

    def ls(self) -> list[str]:
        """Keys of the adopted models, sorted."""
        return sorted(path.parent.name for path in self._models.glob(f"[!.]*/{MANIFEST}"))

    def remove(self, key: str) -> None:
        """Delete a model. Raises ``ModelNotPulled``, ``StoreBusy``."""
        with self.changing():
            self.path(key).rename(self._models / f"{_STAGING}removed")

    def mark_used(self, key: str) -> None:
        """Remember that a replica loads the model now. A store that cannot be written to remembers nothing."""
        with suppress(OSError):
            (self._models / f"{_USED}{key}").touch(mode=0o600)

    def last_used(self, key: str) -> float | None:
        """Unix seconds of the last load by a replica; None when there was none."""
        try:
            return (self._models / f"{_USED}{key}").stat().st_mtime
        except OSError:
            return None

    def leftovers(self) -> list[Path]:
        """Folders of pulls that were begun and not finished."""
        return sorted(self._models.glob(f"{_PULL}*"))

    def collect(self) -> int:
        """Delete unfinished pulls and everything else that is no model; returns the bytes freed. Raises ``StoreBusy``."""
        with self.changing():
            freed = sum(file.lstat().st_size for folder in self.leftovers() for file in folder.rglob("*"))
            for folder in self.leftovers():
                shutil.rmtree(folder, ignore_errors=True)
        return freed

    def _manifest(self, folder: Path, key: str) -> Manifest:
        """A manifest rewritten together with a file still differs from the lock that ships with Muster."""
        manifest = Manifest.read(folder, key)
        for spec in self._known().models:
            if spec.key == key and spec.revision == manifest.revision and not matches(manifest, spec):
                raise TamperedModel(key, MANIFEST, "it is not what the catalogue says")
        return manifest

    def _known(self) -> Catalogue:
        self._catalogue = self._catalogue or load_catalogue()
        return self._catalogue

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the store's lock: one process changes it at a time. Raises ``StoreBusy``."""
        self._models.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._lock_path, timeout=self._lock_timeout_s):
                self._sweep()
                try:
                    yield
                finally:
                    self._sweep()
        except Timeout as error:
            raise StoreBusy(f"Another process is changing the store at {self._lock_path.parent}.") from error

    def _sweep(self) -> None:
        for replaced in self._models.glob(f"{_REPLACED}*"):
            model = self._models / replaced.name.removeprefix(_REPLACED)
            # Killed between the two renames: the old model is still the model.
            if not model.exists():
                replaced.rename(model)
        for pattern in (_STAGING, _REPLACED):
            for leftover in self._models.glob(f"{pattern}*"):
                shutil.rmtree(leftover, ignore_errors=True)

    def _install(self, staging: Path, folder: Path) -> None:
        """Rename a finished model into place; what was there is swept."""
        staging.chmod(0o755)
        if folder.exists():
            folder.rename(self._models / f"{_REPLACED}{folder.name}")
        staging.rename(folder)
