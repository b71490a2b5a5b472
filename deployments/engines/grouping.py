"""Which texts share a forward pass. Pure functions of lengths in tokens; batches are lists of indices."""

from collections.abc import Sequence

PASS_OVERHEAD = 24
"""What a forward pass costs beyond its tokens, in tokens; measured with ONNX Runtime on two cores."""


def padded_batches(lengths: Sequence[int], budget: int, overhead: int = PASS_OVERHEAD) -> list[list[int]]:
    """The cheapest way to cut texts, longest first, into batches of at most ``budget`` padded tokens (longest x count).

    Dynamic programming over the sorted lengths: padding is weighed against the cost of one more pass. A text beyond
    the budget gets a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    cheapest = [0] * (len(order) + 1)
    first = [0] * (len(order) + 1)
    for end in range(1, len(order) + 1):
        start = end - 1
        cheapest[end], first[end] = cheapest[start] + lengths[order[start]] + overhead, start
        while start > 0 and lengths[order[start - 1]] * (end - start + 1) <= budget:
            start -= 1
            cost = cheapest[start] + lengths[order[start]] * (end - start) + overhead
            if cost < cheapest[end]:
                cheapest[end], first[end] = cost, start
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
