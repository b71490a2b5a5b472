"""Attention over texts that lie end to end in one row, each seeing only itself; an attention of transformers' by name.

On a GPU in 16 bits it is one kernel for all texts (variable-length flash attention); elsewhere one call for each group
of texts of equal length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

ATTENTION = "muster_packed"

Group = tuple[int, int, int]
"""First token, number of texts, tokens of each."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The texts of one pass, longest first. ``offsets``: (texts + 1,) int32 on the device, each text's first token and
    the end of the last; ``longest``: in tokens."""

    offsets: Any
    longest: int
    groups: Sequence[Group]


def groups_of(lengths: Sequence[int]) -> list[Group]:
    """Neighbours of equal length together."""
    groups, start = [], 0
    for length, same in groupby(lengths):
        count = len(list(same))
        groups.append((start, count, length))
        start += count * length
    return groups


def register_attention() -> None:
    """Teach transformers the packed attention; no mask is needed, because no text sees another."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(ATTENTION, packed_attention)
    AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)


def packed_attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    packed: Packed,
    scaling: float | None = None,
    **unused: Any,
) -> tuple[Any, None]:
    """Attention within each text. query, key, value: (1, heads, tokens, width) -> (1, tokens, heads, width)."""
    import torch

    attend = _in_one if query.is_cuda and query.dtype == torch.float16 else _by_group
    return attend(query, key, value, packed, scaling)[None], None


def _in_one(query: Any, key: Any, value: Any, packed: Packed, scaling: float | None) -> Any:
    from torch.nn.attention.varlen import varlen_attn

    # (1, heads, tokens, width) -> (tokens, heads, width)
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return varlen_attn(q, k, v, packed.offsets, packed.offsets, packed.longest, packed.longest, scale=scaling)


def _by_group(query: Any, key: Any, value: Any, packed: Packed, scaling: float | None) -> Any:
    import torch

    heads, width = query.shape[1], query.shape[3]
    outputs = []
    for start, count, length in packed.groups:
        # (heads, count * length, width) -> (count, heads, length, width)
        q, k, v = (
            tensor[0, :, start : start + count * length].unflatten(1, (count, length)).transpose(0, 1)
            for tensor in (query, key, value)
        )
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)
        outputs.append(attended.transpose(1, 2).reshape(count * length, heads, width))
    return torch.cat(outputs)
