"""Which texts share a forward pass. Pure functions of lengths in tokens; batches are lists of indices."""

from collections.abc import Sequence

import numpy as np

PASS_OVERHEAD = 24
"""What a forward pass costs beyond its tokens, in tokens; measured with ONNX Runtime on two cores."""


def padded_batches(lengths: Sequence[int], budget: int, overhead: int = PASS_OVERHEAD) -> list[list[int]]:
    """The cheapest way to cut texts, longest first, into batches of at most ``budget`` padded tokens (longest x count).

    Dynamic programming over the sorted lengths: padding is weighed against the cost of one more pass. A text beyond
    the budget gets a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    if len(order) < 2:
        return [order] if order else []
    sizes, places = np.array([lengths[index] for index in order]), np.arange(len(order))
    cheapest, first = np.zeros(len(order) + 1, dtype=np.int64), [0] * (len(order) + 1)
    low = 0
    for end in range(1, len(order) + 1):
        while low < end - 1 and sizes[low] * (end - low) > budget:
            low += 1
        costs = cheapest[low:end] + sizes[low:end] * (end - places[low:end])
        # Of equally cheap cuts the one with the smallest last batch.
        best = end - 1 - int(costs[::-1].argmin())
        cheapest[end], first[end] = costs[best - low] + overhead, best
    batches, end = [], len(order)
    while end:
        batches.append(order[first[end] : end])
        end = first[end]
    return batches[::-1]


def padding(lengths: Sequence[int]) -> int:
    """Tokens that a padded batch of texts computes beside theirs."""
    return max(lengths) * len(lengths) - sum(lengths)


def packed_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Texts, longest first, in batches of at most ``budget`` tokens without padding."""
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if not batches or lengths[index] > room:
            batches.append([])
            room = budget
        batches[-1].append(index)
        room -= lengths[index]
    return batches
