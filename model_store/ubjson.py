"""A strict reader for the UBJSON subset that XGBoost writes, so that a model can be inspected before XGBoost reads it.

Big-endian numbers; strings and keys with a length; arrays with a count, optionally of one numeric type. What XGBoost
does not write is refused (no-op bytes, counted objects, duplicate keys, trailing bytes): two readers that disagree
about a file would make the inspection worthless.
"""

from typing import Any

import numpy as np

_DTYPES = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
MAX_DEPTH = 32


class MalformedUbjson(ValueError):
    """The bytes are not the expected subset of UBJSON; the message says where."""


def parse_ubjson(data: bytes) -> Any:
    """Decode one document. Typed arrays become numpy arrays, other values plain Python. Raises ``MalformedUbjson``."""
    reader = _Reader(data)
    value = reader.value(reader.marker(), depth=0)
    if reader.at != len(data):
        raise MalformedUbjson(f"{len(data) - reader.at} bytes follow the document")
    return value


class _Reader:
    """A cursor over the bytes; every read is checked against the end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise MalformedUbjson(f"a length at byte {self.at} runs past the end")
        self.at += count
        return self.data[self.at - count : self.at]

    def marker(self) -> str:
        return self.take(1).decode("latin-1")

    def number(self, marker: str) -> int | float:
        dtype = np.dtype(_DTYPES[marker])
        found: int | float = np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        return found

    def length(self) -> int:
        marker = self.marker()
        if marker not in "iUIlL":
            raise MalformedUbjson(f"a length at byte {self.at} is not an integer")
        return int(self.number(marker))

    def text(self) -> str:
        try:
            return self.take(self.length()).decode()
        except UnicodeDecodeError as error:
            raise MalformedUbjson(f"a string before byte {self.at} is not UTF-8") from error

    def value(self, marker: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise MalformedUbjson("nested too deeply")
        if marker in _DTYPES:
            return self.number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == "S":
            return self.text()
        if marker == "[":
            return self.array(depth)
        if marker == "{":
            return self.mapping(depth)
        raise MalformedUbjson(f"unknown marker at byte {self.at - 1}")

    def array(self, depth: int) -> Any:
        marker, kind = self.marker(), None
        if marker == "$":
            kind, marker = self.marker(), self.marker()
            if kind not in _DTYPES:
                raise MalformedUbjson(f"an array at byte {self.at} has a type that is not a number")
        if marker != "#":
            raise MalformedUbjson(f"an array at byte {self.at} has no count")
        count = self.length()
        if kind is not None:
            dtype = np.dtype(_DTYPES[kind])
            return np.frombuffer(self.take(count * dtype.itemsize), dtype)
        if not 0 <= count <= len(self.data) - self.at:
            raise MalformedUbjson(f"an array at byte {self.at} runs past the end")
        return [self.value(self.marker(), depth + 1) for _ in range(count)]

    def mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.data[self.at : self.at + 1] != b"}":
            name = self.text()
            if name in found:
                raise MalformedUbjson(f"a name before byte {self.at} occurs twice")
            found[name] = self.value(self.marker(), depth + 1)
        self.at += 1
        return found
