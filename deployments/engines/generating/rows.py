"""Keys and values of the running generations: one row for each, all rows ending at the same column.

transformers' ``DynamicCache`` copies everything with every token. Here a token is written in place, a generation that
leaves is overwritten by the last row, and only growth copies.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

ROOM = 64
"""Columns that a copy leaves free at the end, so that the next one is that many tokens away; their number is a multiple of
it too, as attention's kernels like their masks."""

Row = Sequence[tuple[Any, Any]]
"""Keys and values of one generation, layer by layer: (heads, tokens, width) each."""


def row_of(cache: Any, index: int, length: int, *, at_end: bool) -> Row:
    """One prompt's keys and values out of a cache of several, without its padding."""
    columns = slice(-length, None) if at_end else slice(0, length)
    return [(layer.keys[index, :, columns], layer.values[index, :, columns]) for layer in cache.layers]


class Rows:
    """All layers of one kind of attention. ``cache`` is what transformers' models write to and read from; ``built`` counts
    the changes of its tensors."""

    def __init__(self, layers: int, room: int = ROOM) -> None:
        from transformers.cache_utils import Cache, CacheLayerMixin

        # A base class would have transformers imported with this module.
        CacheLayerMixin.register(_Layer)
        self.lengths: list[int] = []
        self.end = 0
        self.built = 0
        self.whole: tuple[int, Any] | None = None
        self._spare = room
        self._layers = [_Layer(self) for _ in range(layers)]
        self.cache = Cache(layers=self._layers)

    @property
    def width(self) -> int:
        """Columns in use: the tokens of the longest row."""
        return max(self.lengths, default=0)

    @property
    def start(self) -> int:
        return self.end - self.width

    @property
    def held(self) -> int:
        """Rows that the tensors have room for."""
        return self._layers[0].capacity[0]

    @property
    def room(self) -> int:
        """Columns that the tensors have room for."""
        return self._layers[0].capacity[1]

    @contextmanager
    def all_columns(self, count: int, end: Any) -> Iterator[None]:
        """Meanwhile the layers read and write whole tensors of ``count`` rows; the new column is ``end``, (1,) there."""
        self.whole = (count, end)
        try:
            yield
        finally:
            self.whole = None

    def mask(self, new: int, device: str) -> Any:
        """(rows, width + new) of 0 and 1: which columns are a row's own."""
        import torch

        columns = torch.arange(self.width + new, device=device)
        return (columns >= torch.tensor([[self.width - length] for length in self.lengths], device=device)).long()

    def reserve(self) -> None:
        """Make sure that one more column can be written."""
        self._fit(len(self.lengths), self.end + 1)

    def advance(self) -> None:
        """Every row has got one more token: the column that the layers have just written."""
        self.end += 1
        self.lengths = [length + 1 for length in self.lengths]

    def join(self, row: Row) -> None:
        length = row[0][0].shape[-2]
        if not self.lengths:
            self.end = 0
        shift = max(0, length - self.end)
        self._fit(len(self.lengths) + 1, self.end + shift + 1, shift, row)
        self.end += shift
        for layer, (keys, values) in zip(self._layers, row, strict=True):
            layer.write(len(self.lengths), self.end, keys, values)
        self.lengths.append(length)

    def leave(self, index: int) -> None:
        """The last row takes the place of this one."""
        last = len(self.lengths) - 1
        for layer in self._layers:
            layer.move(last, index)
        self.lengths[index] = self.lengths[last]
        self.lengths.pop()
        if not self.lengths:
            for layer in self._layers:
                layer.drop()
            self.built += 1

    def _fit(self, rows: int, columns: int, shift: int = 0, like: Row | None = None) -> None:
        """Copy into larger tensors where the present ones are too small, without the columns that nobody uses."""
        have = self._layers[0].capacity
        if shift == 0 and rows <= have[0] and columns <= have[1]:
            return
        begin, width = self.start, self.width
        unused = 0 if shift else begin
        # Not twice as many: what is held beyond the rows in use is memory that nobody has budgeted.
        held, room = rows + rows // 4, -(-(columns - unused + self._spare) // ROOM) * ROOM
        for number, layer in enumerate(self._layers):
            shape = like[number] if like else None
            layer.grow((held, room), (begin, width), begin + shift - unused, len(self.lengths), shape)
        self.end -= unused
        self.built += 1


class _Layer:
    """What ``transformers.cache_utils`` asks of a layer, over tensors of (rows, heads, columns, width)."""

    is_sliding = is_compileable = False
    is_initialized = True

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._keys: Any = None
        self._values: Any = None

    @property
    def capacity(self) -> tuple[int, int]:
        return (0, 0) if self._keys is None else (self._keys.shape[0], self._keys.shape[2])

    @property
    def keys(self) -> Any:
        return self._used(self._keys, 0)

    @property
    def values(self) -> Any:
        return self._used(self._values, 0)

    def update(self, keys: Any, values: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the new tokens' column; returns all that the rows have now."""
        if self._rows.whole is not None:
            rows, column = self._rows.whole
            self._keys[:rows].index_copy_(2, column, keys)
            self._values[:rows].index_copy_(2, column, values)
            return self._keys[:rows], self._values[:rows]
        count, end = len(self._rows.lengths), self._rows.end
        self._keys[:count, :, end : end + 1] = keys
        self._values[:count, :, end : end + 1] = values
        return self._used(self._keys, 1), self._used(self._values, 1)

    def get_seq_length(self) -> int:
        return self._rows.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._rows.width + query_length, 0

    def get_max_length(self) -> int:
        return -1

    def write(self, row: int, end: int, keys: Any, values: Any) -> None:
        """One row's tokens, so that the last one is before column ``end``."""
        first = end - keys.shape[-2]
        self._keys[row, :, first:end] = keys
        self._values[row, :, first:end] = values

    def move(self, source: int, target: int) -> None:
        if source != target:
            self._keys[target] = self._keys[source]
            self._values[target] = self._values[source]

    def drop(self) -> None:
        self._keys = self._values = None

    def grow(
        self, capacity: tuple[int, int], used: tuple[int, int], first: int, rows: int, like: tuple[Any, Any] | None
    ) -> None:
        """New tensors, ``used`` (first column, columns) of the old ones from column ``first`` on."""
        self._keys = _larger(self._keys, capacity, used, first, rows, like and like[0])
        self._values = _larger(self._values, capacity, used, first, rows, like and like[1])

    def _used(self, tensor: Any, new: int) -> Any:
        return tensor[: len(self._rows.lengths), :, self._rows.start : self._rows.end + new]


def _larger(old: Any, capacity: tuple[int, int], used: tuple[int, int], first: int, rows: int, like: Any) -> Any:
    import torch

    example = old if old is not None else like
    heads, width = example.shape[-3], example.shape[-1]
    # Zeros, because attention multiplies what it does not attend to by nothing, and nothing times NaN is NaN.
    new = torch.zeros((capacity[0], heads, capacity[1], width), dtype=example.dtype, device=example.device)
    begin, columns = used
    if old is not None and rows:
        new[:rows, :, first : first + columns] = old[:rows, :, begin : begin + columns]
    return new
