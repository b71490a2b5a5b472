"""The header of a safetensors file, checked before any library reads it.

The file is eight bytes of length, a JSON header of that length and the tensors. The tensors must fill the rest exactly:
from its first byte to its last, without a hole in which something could hide and without two tensors that share bytes.
"""

from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from model_store.plain_json import NotPlainJson, parse

# The format allows 100 MB; a header of the catalogue's largest model has less than 0.1 MB.
MAX_HEADER_BYTES = 4 << 20
MAX_TENSORS = 20_000
MAX_RANK = 8
ITEM_BYTES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4},
    **{"F16": 2, "BF16": 2, "I16": 2, "U16": 2},
    **{"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1},
}
_FIELDS = {"dtype", "shape", "data_offsets"}


class BadHeader(ValueError):
    """The file is not one that safetensors would write; the message says why."""


def check(reader: BinaryIO, size: int) -> None:
    """Check a file of ``size`` bytes from its beginning. Raises ``BadHeader``."""
    header, length = _read(reader, size)
    _check_tensors(header, size - 8 - length)


def elements(path: Path) -> int:
    """Numbers in all tensors of a file that was checked when it came in. Raises ``BadHeader``."""
    with path.open("rb") as reader:
        header, _ = _read(reader, path.stat().st_size)
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _read(reader: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header and its length in bytes."""
    prefix = reader.read(8)
    if len(prefix) < 8:
        raise BadHeader("it is shorter than a header's length")
    length = int.from_bytes(prefix, "little")
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise BadHeader(f"its header claims {length} bytes, and from 2 to {MAX_HEADER_BYTES} are allowed")
    if 8 + length > size:
        raise BadHeader("its header claims to be longer than the file")
    raw = reader.read(length)
    if len(raw) != length or raw[:1] != b"{":
        raise BadHeader("its header does not begin as a JSON object")
    return _parse(raw), length


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        header = parse(raw)
    except NotPlainJson as error:
        raise BadHeader(f"its header: {error}") from error
    if not isinstance(header, dict):
        raise BadHeader("its header is not a JSON object")
    return header


def _check_tensors(header: dict[str, Any], data_bytes: int) -> None:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadHeader("its metadata is not a map of texts")
    if not 0 < len(header) <= MAX_TENSORS:
        raise BadHeader(f"it has {len(header)} tensors, and from 1 to {MAX_TENSORS} are allowed")
    reached = 0
    for start, stop in sorted(_span(entry) for entry in header.values()):
        if start != reached:
            raise BadHeader("its tensors overlap or leave a hole")
        reached = stop
    if reached != data_bytes:
        raise BadHeader(f"its tensors end at byte {reached} of {data_bytes}")


def _span(entry: Any) -> tuple[int, int]:
    """First byte and the byte behind the last, proved to hold the shape."""
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        raise BadHeader("a tensor is not described by dtype, shape and data_offsets alone")
    item_bytes = ITEM_BYTES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if item_bytes is None:
        raise BadHeader("a tensor has an unknown dtype")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise BadHeader("a tensor's shape is not a short list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise BadHeader("a tensor's offsets are not two positions")
    start, stop = offsets
    if stop - start != prod(shape) * item_bytes:
        raise BadHeader("a tensor's shape does not fit its bytes")
    return start, stop


def _are_sizes(values: Any) -> bool:
    # bool is an int to Python and not to the format.
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
