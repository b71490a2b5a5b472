"""Token ids of different lengths as one tensor with its mask."""

from collections.abc import Sequence
from typing import Any


def left_padded(rows: Sequence[Sequence[int]], device: str) -> tuple[Any, Any]:
    """Ids and mask, (rows, longest) each; every row ends in the last column."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def right_padded(rows: Sequence[Sequence[int]], device: str) -> tuple[Any, Any]:
    """The same, every row beginning in the first column."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([list(row) + [0] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return ids, mask
