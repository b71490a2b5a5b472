"""Pulling models from the hub (or a folder) into the store.

Files come into ``<store>/models/.pull-<key>-<commit>/files``, which outlives an interruption: what is complete and has
the listed digest is not fetched again. Only then is the model built, proved and renamed into place, in one step.
"""

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from model_store.catalogue import HubSource, ModelSpec
from model_store.convert import EXPORTED_TASKS
from model_store.errors import DiskFull, SourceUnavailable
from model_store.hub import Hub, RemoteFile, Snapshot
from model_store.lock import FileDigest
from model_store.selection import is_pickled, needed
from model_store.store import ModelStore

WORKERS = 4
HEADROOM = 512 * 2**20
"""Bytes of the disk that a pull leaves free."""


class Watcher(Protocol):
    """Is told how a pull goes on; called from several threads."""

    def file_done(self, key: str, name: str, size: int) -> None:
        """A file is complete and checked."""

    def step(self, message: str) -> None:
        """Something else happens now."""


@dataclass(frozen=True, slots=True)
class Pull:
    """What a pull of one model would do. ``fetch``: files that are not there yet."""

    spec: ModelSpec
    snapshot: Snapshot
    files: tuple[RemoteFile, ...]
    folder: Path
    stored: bool

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def missing(self) -> int:
        """Bytes still to fetch; a file counts as there when it has its size (its digest is compared by the pull)."""
        return 0 if self.stored else sum(file.size for file in self.files if not self._is_there(file))

    @property
    def room(self) -> int:
        """Bytes of disk that the pull needs: pickled weights are written once more, so are those of exported models."""
        copies = 2 if any(is_pickled(file.name) for file in self.files) else 1
        exported = self.spec.task in EXPORTED_TASKS
        return 0 if self.stored else self.missing + self.total * (copies + exported - 1)

    def _is_there(self, file: RemoteFile) -> bool:
        path = self.folder / "files" / file.name
        return path.is_file() and path.stat().st_size == file.size


class Puller:
    """Pulls into one store from one hub."""

    def __init__(self, store: ModelStore, hub: Hub, workers: int = WORKERS) -> None:
        self._store, self._hub, self._workers = store, hub, workers

    def plan(self, spec: ModelSpec, *, update: bool = False) -> Pull:
        """Ask the hub what the model is made of; fetches nothing. Raises ``SourceUnavailable`` and its kind.

        The commit is the catalogue's, else the one in the store, else (or with ``update``) what the revision means now.
        """
        if not isinstance(spec.source, HubSource):
            raise SourceUnavailable(
                f"{spec.key} does not come from the hub; `muster models adopt {spec.key}` takes it."
            )
        known = self._store.revision(spec.key)
        revision = spec.revision if spec.revision != "unpinned" else None
        revision = revision or (None if update else known) or spec.source.revision
        snapshot = self._hub.snapshot(spec.source.hub, revision)
        wanted = set(needed(file.name for file in snapshot.files))
        files = tuple(file for file in snapshot.files if file.name in wanted)
        folder = self._store.pull_folder(spec.key, snapshot.commit)
        return Pull(spec, snapshot, files, folder, stored=known == snapshot.commit)

    def require_room(self, pulls: Sequence[Pull]) -> None:
        """Raises ``DiskFull`` before a byte is fetched."""
        place = self._store.root
        place.mkdir(parents=True, exist_ok=True)
        room, free = sum(pull.room for pull in pulls) + HEADROOM, shutil.disk_usage(place).free
        if room > free:
            raise DiskFull(room, free, str(place))

    def pull(self, pull: Pull, watcher: Watcher) -> Path:
        """Fetch, build, prove and install one model; returns its folder. Raises the store's errors."""
        with self._store.changing():
            if not pull.stored:
                digests = self._fetch(pull, watcher)
                self._store.install_pulled(pull.spec, pull.snapshot.commit, pull.folder, digests, watcher.step)
        return self._store.path(pull.spec.key)

    def repair(self, spec: ModelSpec, watcher: Watcher) -> Path:
        """Build a stored model anew, fetching only the files that are not what the hub lists. Raises the store's errors."""
        pull = replace(self.plan(spec), stored=False)
        target = pull.folder / "files"
        for file in pull.files:
            good = self._store.path(spec.key) / "files" / file.name
            if good.is_file() and not good.is_symlink() and not (target / file.name).exists():
                (target / file.name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copyfile(good, target / file.name)
        return self.pull(pull, watcher)

    def _fetch(self, pull: Pull, watcher: Watcher) -> dict[str, FileDigest]:
        """All files at once, the largest first; the first failure ends the others."""
        target = pull.folder / "files"
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        stop = threading.Event()

        def one(file: RemoteFile) -> tuple[str, FileDigest]:
            digest = self._hub.fetch(pull.snapshot, file, target, stop)
            watcher.file_done(pull.spec.key, file.name, file.size)
            return file.name, digest

        with ThreadPoolExecutor(self._workers, thread_name_prefix="pull") as pool:
            tasks = [pool.submit(one, file) for file in sorted(pull.files, key=lambda file: -file.size)]
            try:
                done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
                digests = dict(task.result() for task in done)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return digests


def silent() -> Watcher:
    """A watcher that tells nobody."""
    return _Silent()


class _Silent:
    def file_done(self, key: str, name: str, size: int) -> None:
        return

    def step(self, message: str) -> None:
        return
