"""How much faster an 8-bit engine is than the exact one, with texts made of the user's words."""

import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from deployments.accuracy import Encode

SHORT_WORDS = 10
MIXED_TEXTS, MEDIAN_WORDS, SPREAD = 64, 40, 0.9
"""Log-normal lengths, as texts of people have them."""
ROUNDS = 9


def short_text(texts: Sequence[str]) -> list[str]:
    """One text of ten words."""
    return [_of_words(_words(texts), SHORT_WORDS)]


def mixed_texts(texts: Sequence[str]) -> list[str]:
    """64 texts; one length out of each of 64 equal parts of the distribution."""
    normal, words = statistics.NormalDist(math.log(MEDIAN_WORDS), SPREAD), _words(texts)
    sizes = [round(math.exp(normal.inv_cdf((part + 0.5) / MIXED_TEXTS))) for part in range(MIXED_TEXTS)]
    return [_of_words(words, size) for size in sizes]


def speed_ratio(exact: Encode, eight: Encode, inputs: Sequence[Any], passes: int = 1) -> float:
    """The exact engine's time over the 8-bit one's: median over rounds in which they take turns."""
    rounds = [(_seconds(exact, inputs, passes), _seconds(eight, inputs, passes)) for _ in range(ROUNDS + 1)]
    # The first round warms both up.
    return round(statistics.median(ours / theirs for ours, theirs in rounds[1:]), 2)


def _words(texts: Sequence[str]) -> list[str]:
    return " ".join(texts).split()


def _of_words(words: Sequence[str], count: int) -> str:
    return " ".join([words[place % len(words)] for place in range(count)])


def _seconds(encode: Encode, inputs: Sequence[Any], passes: int) -> float:
    started = time.perf_counter()
    for _ in range(passes):
        encode(inputs)
    return time.perf_counter() - started
