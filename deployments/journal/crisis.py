"""Which entries speak of suicide or self-harm: what the chat's crisis check finds in them. Deterministic."""

from collections.abc import Sequence

import numpy as np

from deployments.chat.crisis import check
from deployments.journal.entries import Floats

PIECE, OVERLAP = 2000, 200
"""Characters that are read at once, and how many of them again with the next piece: the check is made for messages, and its
work grows with the square of what it finds in one."""


def crisis_mentions(texts: Sequence[str]) -> Floats:
    """(n,): 1 where it is spoken of, by the writer or of somebody else, denied or not; else 0."""
    return np.array([float(_is_spoken_of(text)) for text in texts])


def _is_spoken_of(text: str) -> bool:
    starts = range(0, max(1, len(text) - OVERLAP), PIECE - OVERLAP)
    return any(check(text[start : start + PIECE]).danger for start in starts)
