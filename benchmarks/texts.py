"""Distinct English-like texts of known lengths, so that no cache and no coalescing can help anybody."""

import math
import random
from collections.abc import Sequence
from statistics import NormalDist

# Each is one WordPiece token of the BERT vocabulary, so a text of n words has n + 2 tokens.
WORDS: Sequence[str] = (
    "the of and to in is was for on with as by at from that his her their this are be have had were one two time year "
    "people way day man woman child world life hand part place week case point company number group problem fact river "
    "mountain garden winter summer morning evening school teacher student paper letter story music picture window door "
    "house street city village country road bridge water fire light night sun moon star tree flower bird horse dog cat "
    "fish bread milk sugar salt table chair bed clock train ship plane market money bank office doctor nurse friend "
    "brother sister father mother family king queen war peace law court judge police army church book page word voice "
    "song game ball team player coach goal race run walk swim climb read write learn teach speak listen hear see look "
    "find keep hold bring carry open close begin end start stop move turn change grow build make give take buy sell"
).split()

SHORT_TOKENS = 12
SHORT, MIXED = "short", "mixed"


class Texts:
    """An endless supply of distinct texts; the same seed gives the same sequence."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seen: set[str] = set()

    def short(self, count: int) -> list[str]:
        """Texts of ``SHORT_TOKENS`` tokens."""
        return [self._distinct(SHORT_TOKENS - 2) for _ in range(count)]

    def mixed(self, count: int) -> list[str]:
        """Log-normal lengths: median 40 tokens, mean 59, cut at 256.

        One length out of each of ``count`` equal parts of the distribution, in random order: a few hundred independent
        draws differ by a tenth in their sum, and two measurements would differ by as much without a reason.
        """
        logarithms = NormalDist(math.log(40), math.sqrt(2 * math.log(59 / 40)))
        lengths = [round(math.exp(logarithms.inv_cdf((part + 0.5) / count))) for part in range(count)]
        self._random.shuffle(lengths)
        return [self._distinct(min(256, max(4, length)) - 2) for length in lengths]

    def make(self, kind: str, count: int) -> list[str]:
        return self.short(count) if kind == SHORT else self.mixed(count)

    def _distinct(self, words: int) -> str:
        while True:
            text = " ".join(self._random.choices(WORDS, k=words))
            # Two-word texts would run out; they may repeat once the supply is used up.
            if text not in self._seen or words < 4:
                self._seen.add(text)
                return text
