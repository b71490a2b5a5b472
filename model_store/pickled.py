"""Weights that come as a pickle are written as safetensors once, at pull, in a confined child process.

``python -m model_store.pickled FILES TARGET TASK``. The child loads with the weights-only unpickler and saves through
transformers, which knows which tensors a family ties; only safetensors ever enter the store.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from model_store import child, trust
from model_store.catalogue import ModelSpec
from model_store.errors import ConversionFailed
from model_store.lock import FileDigest, digest_file
from model_store.selection import is_pickled


def unpickled(
    spec: ModelSpec, files: Path, digests: Mapping[str, FileDigest], progress: child.Progress
) -> dict[str, str]:
    """sha256 of every file that belongs to the model below ``files``, pickled weights replaced by safetensors there.

    Raises ``ConversionFailed``, ``UntrustedArtefact``.
    """
    locked = {name: digest.sha256 for name, digest in digests.items() if not is_pickled(name)}
    if len(locked) == len(digests):
        return locked
    if any("/" in name for name in digests.keys() - locked.keys()):
        raise ConversionFailed(
            f"{spec.key} has pickled weights in a module's folder; only the model's own are converted."
        )
    progress(f"{spec.key}: converting pickled weights to safetensors")
    with TemporaryDirectory(dir=files.parent) as scratch:
        source, target = Path(scratch) / "files", Path(scratch) / "safe"
        target.mkdir()
        _without_weights(files, source, locked)
        # Configuration decides what code runs; it is judged before anything of the model is loaded.
        trust.inspect(source, spec.family)
        for name in digests.keys() - locked.keys():
            os.link(files / name, source / name)
        child.run("model_store.pickled", [str(source.resolve()), str(target.resolve()), spec.task], lambda line: None)
        for path in sorted(target.glob("model*.safetensors*")):
            path.replace(files / path.name)
            digest = digest_file(files / path.name)
            assert digest is not None
            locked[path.name] = digest.sha256
    return locked


def _without_weights(files: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files / name, target / name)


def _convert(files: Path, target: Path, task: str) -> None:
    from model_store.loading import load_model

    load_model(files, task, pickled=True).save_pretrained(str(target), max_shard_size="5GB")


if __name__ == "__main__":
    child.confine()
    _convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
