"""The poolings of ``pooling`` in torch, on the device where the hidden states are: what leaves it is one row a text.

Hidden states come flat, (tokens, width), the texts end to end without padding. Sums are float32 whatever they are of, and
in a fixed order: the same batch gives the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Pooler = Callable[[Any, Any, Any], Any]


def pool(modes: Sequence[str], hidden: Any, starts: Any, lengths: Any) -> Any:
    """(texts, width of all modes together), float32. ``starts``, ``lengths``: (texts,) int64, on the device."""
    import torch

    pooled = [_POOLERS[mode](hidden, starts, lengths) for mode in modes]
    return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)


def _segments(reduce: str, hidden: Any, lengths: Any) -> Any:
    import torch

    # unsafe: whether the lengths add up would be looked at on the host, which waits for the device.
    return torch.segment_reduce(hidden, reduce, lengths=lengths, unsafe=True)


def _mean(hidden: Any, starts: Any, lengths: Any) -> Any:
    return _segments("sum", hidden.float(), lengths) / lengths[:, None]


def _mean_sqrt(hidden: Any, starts: Any, lengths: Any) -> Any:
    return _segments("sum", hidden.float(), lengths) / lengths[:, None].float().sqrt()


def _weighted_mean(hidden: Any, starts: Any, lengths: Any) -> Any:
    import torch

    count = len(hidden)
    first = torch.repeat_interleave(starts, lengths, output_size=count)
    weights = torch.arange(1, count + 1, device=hidden.device) - first
    return _segments("sum", hidden.float() * weights[:, None], lengths) / (lengths * (lengths + 1) / 2)[:, None]


_POOLERS: Mapping[str, Pooler] = {
    "cls": lambda hidden, starts, lengths: hidden[starts].float(),
    "lasttoken": lambda hidden, starts, lengths: hidden[starts + lengths - 1].float(),
    "max": lambda hidden, starts, lengths: _segments("max", hidden.float(), lengths),
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
}
