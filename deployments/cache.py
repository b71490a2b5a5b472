"""What models have answered lately: the least recently used go first, bounded by bytes and by age. No I/O.

Only arrays and numbers are kept, and on the wire to Redis only those: never an object that unpickling would run.
"""

import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

OVERHEAD_BYTES = 400
"""What an entry takes beside its array: keys, dictionary slots, objects."""
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class Kept:
    """One item's answer. ``cut``: what was dropped from an overlong text."""

    value: NDArray[Any]
    cost: int
    cut: Mapping[str, int] | None = None

    def packed(self) -> bytes:
        """A header in JSON, then the array's bytes."""
        header = orjson.dumps([self.value.dtype.str, self.value.shape, self.cost, self.cut])
        return _LENGTH.pack(len(header)) + header + self.value.tobytes()

    @classmethod
    def unpacked(cls, data: bytes) -> "Kept":
        """Raises ``ValueError`` for anything that ``packed`` did not write."""
        try:
            (length,) = _LENGTH.unpack_from(data)
            dtype, shape, cost, cut = orjson.loads(data[_LENGTH.size : _LENGTH.size + length])
            if dtype not in ("<f4", "<f8"):
                raise ValueError(f"no array of {dtype} was kept")
            value = np.frombuffer(data, dtype, offset=_LENGTH.size + length).reshape(shape)
            return cls(value, int(cost), cut)
        except (struct.error, TypeError) as error:
            raise ValueError("not a kept answer") from error


class ResultCache:
    """Answers by key. ``capacity`` in bytes, ``ttl_s`` in seconds; the clock is for tests."""

    def __init__(self, capacity: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity, self._ttl_s, self._clock = capacity, ttl_s, clock
        self._entries: OrderedDict[bytes, tuple[float, Kept]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Kept | None:
        """The answer, if it is not too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() - entry[0] > self._ttl_s:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: bytes, kept: Kept) -> None:
        """Keep an answer; others go to make room. What is larger than an eighth of all room is not kept."""
        size = kept.value.nbytes + OVERHEAD_BYTES
        if size > self._capacity // 8:
            return
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (self._clock(), kept)
        self.bytes += size
        while self.bytes > self._capacity:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        _, kept = self._entries.pop(key)
        self.bytes -= kept.value.nbytes + OVERHEAD_BYTES
