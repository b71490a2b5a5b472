"""Flesch Reading Ease, with a syllable counter of our own.

Flesch (1948): 206.835 - 1.015 x words per sentence - 84.6 x syllables per word; higher is easier. Syllables are counted
by rules on the spelling and a list of exceptions (in the lexicon file).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from deployments.skills.linguistic.lexicon import load_lexicon
from deployments.skills.linguistic.words import Sentence

LOWEST, HIGHEST = -100.0, 121.22
"""Bounds of the feature; 121.22 is sentences of one word of one syllable."""
_VOWELS = re.compile(r"[aeiouyáàâäãåéèêëíìîïóòôöõúùûüýÿœæ]+")
_SILENT = re.compile(
    r"(?:[^aeiouyl]|[aeiouy]l)e(?=$|ly|ful|less|ness|ment|some|time)"
    r"|(?:[^aeiouytdl]|[aeiouyl]l)ed(?=$|ly$)"  # helped and ruled, but not wanted and struggled
    r"|(?:[^aeiouysxzcglh]|[aeiouy]l|[^cs]h)es$"  # makes, but not boxes, races, wishes and puzzles
)
"""An e that is written and not spoken."""
_APART = re.compile(
    r"[ct]ia(?=t)|(?<![ctsgl])ia|(?<!l)li(?=a[rb])|(?<![ctsgnxl])io(?!u)|(?<![ctgxs])iou|(?<![cg])eou|uou|iu|ii|ao"
    r"|(?<=[aeiouy])ing|(?<=[^aeiouy])ie(?=r$|st$|t)|[^q]uie|(?<![gq])ua(?!r[dn])|guab|(?<![gqbl])ue(?=l$|l[^l]|nt|t$)"
    r"|crea(?=t)|(?<![aeiouy])dea(?=s?$)|reali|eo(?=l|r[^g]|$|s$|m)|eea|oe(?=[mt]|rc)|(?:ay|oy)(?=a|er)|isms?$|asms?$|thms?$"
)
"""Vowels written together and spoken apart."""


def syllables(word: str) -> int:
    """The syllables of a word in lower case, at least 1."""
    known: Mapping[str, int] = load_lexicon().syllables
    bare = word.partition("'")[0]
    if bare in known:
        return known[bare]
    spoken = len(_VOWELS.findall(bare)) - len(_SILENT.findall(bare)) + len(_APART.findall(bare))
    return max(1, spoken) + (word.endswith("n't") and bare[-2:-1] in "dst")


def flesch_reading_ease(sentences: Sequence[Sentence]) -> float:
    """Of at least one sentence, kept within the feature's bounds."""
    words = Counter(word for sentence in sentences for word in sentence.words)
    spoken = sum(count * syllables(word) for word, count in words.items())
    ease = 206.835 - 1.015 * words.total() / len(sentences) - 84.6 * spoken / words.total()
    return min(HIGHEST, max(LOWEST, ease))
