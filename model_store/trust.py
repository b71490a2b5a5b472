"""Whether a folder of strangers' files may enter the store. Nothing in it is imported, unpacked or loaded to find out.

The files are data, and data that drives code: a configuration chooses classes, a header says where to read. So everything
is refused that these families of models do not need. Digests prove that a file is the author's; this proves that it can
do no more than be a model.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from model_store import config_checks, plain_json, safetensors_header
from model_store.catalogue import FileName
from model_store.errors import UntrustedArtefact

MAX_ENTRIES = 1000
# Bytes a file may have, by suffix; weights are bounded by what their header describes.
MAX_BYTES = {".json": 64 << 20, ".txt": 64 << 20, ".model": 64 << 20, ".md": 4 << 20, ".jinja": 1 << 20}
_FILE_NAME: TypeAdapter[str] = TypeAdapter(FileName)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"PK\x07\x08": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x7fELF": "a program",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
}
_ADAPTERS = re.compile(r"(.*/)?adapter_(config\.json|model.*)")


def inspect(folder: Path, family: str) -> None:
    """Check every entry below ``folder``, which holds a model of ``family``. Raises ``UntrustedArtefact``."""
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise UntrustedArtefact(folder.name, "it is not a folder")
    names = frozenset(_walk(folder))
    if "config.json" not in names:
        raise UntrustedArtefact("config.json", "it is missing")
    if len({name.lower() for name in names}) != len(names):
        raise UntrustedArtefact(folder.name, "two of its names differ in case only")
    for name in sorted(names):
        try:
            _check_file(folder, name, family, names)
        except (config_checks.BadConfig, plain_json.NotPlainJson, safetensors_header.BadHeader) as error:
            raise UntrustedArtefact(name, str(error)) from error


def _walk(folder: Path) -> Iterator[str]:
    """Names of all plain files; anything else is refused by its kind, before it is opened."""
    pending, seen = [folder], 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > MAX_ENTRIES:
                    raise UntrustedArtefact(folder.name, f"it has more than {MAX_ENTRIES} entries")
                name = Path(entry.path).relative_to(folder).as_posix()
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    _require_name(name, f"{name}/x.json")
                    pending.append(Path(entry.path))
                    continue
                _require_plain(name, info)
                _require_name(name, name)
                yield name


def _require_name(shown: str, name: str) -> None:
    try:
        _FILE_NAME.validate_python(name)
    except ValidationError as error:
        raise UntrustedArtefact(_printable(shown), "its name is not one of a model's files") from error
    if _ADAPTERS.fullmatch(name):
        raise UntrustedArtefact(shown, "it is an adapter, which brings a model of its own")


def _require_plain(name: str, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise UntrustedArtefact(_printable(name), "it is not a plain file")
    if info.st_nlink != 1:
        raise UntrustedArtefact(_printable(name), "it is a hard link to another file")


def _printable(name: str) -> str:
    return ascii(name[:200])[1:-1]


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size, proved again to be plain: it may have been exchanged since it was listed."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UntrustedArtefact(name, "it cannot be opened as a plain file") from error
    with os.fdopen(descriptor, "rb") as reader:
        info = os.fstat(descriptor)
        _require_plain(name, info)
        yield reader, info.st_size


def _check_file(folder: Path, name: str, family: str, names: frozenset[str]) -> None:
    suffix = Path(name).suffix
    with _opened(folder, name) as (reader, size):
        if size > MAX_BYTES.get(suffix, size):
            raise UntrustedArtefact(name, f"it has {size} bytes, more than {MAX_BYTES[suffix]}")
        head = reader.read(512)
        # Any length may begin the header of weights, a pickle's first bytes too; the check of the header decides.
        if suffix != ".safetensors" or head[8:9] != b"{":
            _refuse_signature(name, head)
        reader.seek(0)
        if suffix == ".safetensors":
            safetensors_header.check(reader, size)
        elif suffix == ".json":
            _check_json(name, plain_json.parse(reader.read()), family, names)
        elif suffix == ".model":
            # SentencePiece writes its first piece first: field 1, length-delimited.
            if head[:1] != b"\n":
                raise UntrustedArtefact(name, "it is not a SentencePiece model")
        else:
            _check_text(name, reader.read())


def _refuse_signature(name: str, head: bytes) -> None:
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            raise UntrustedArtefact(name, f"it is {kind}")
    if _PICKLE.match(head):
        raise UntrustedArtefact(name, "it is a pickle")
    if head[257:262] == b"ustar":
        raise UntrustedArtefact(name, "it is a tar archive")


def _check_text(name: str, raw: bytes) -> None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UntrustedArtefact(name, "it is not UTF-8 text") from error
    if "\0" in text:
        raise UntrustedArtefact(name, "it has a NUL character")
    if name.endswith(".jinja"):
        config_checks.check_template(text)


def _check_json(name: str, value: Any, family: str, names: frozenset[str]) -> None:
    """What a file may say follows from its name, as it does for the library that reads it."""
    base = name.rpartition("/")[2]
    if "config" in base or base == "modules.json":
        config_checks.check_names(value)
    checks: dict[str, Callable[[Any], None]] = {
        "tokenizer_config.json": config_checks.check_tokenizer_config,
        "modules.json": config_checks.check_modules,
        "chat_template.json": lambda template: config_checks.check_template(json.dumps(template)),
    }
    if name == "config.json":
        config_checks.check_model_config(value, family)
    elif base == "config.json":
        config_checks.check_module_config(value)
    elif base.endswith(".safetensors.index.json"):
        beside = name[: -len(base)]
        present = frozenset(other[len(beside) :] for other in names if other.startswith(beside))
        config_checks.check_index(value, present)
    elif base in checks:
        checks[base](value)
