"""JSON from strangers, read so that no file can exhaust the reader or mean two things.

``json.loads`` alone guesses the encoding, lets the last of two equal keys win, knows NaN and recurses as deep as the file
nests. Here the text is UTF-8, keys are unique, numbers are finite and the depth is counted before anything is parsed.
"""

import json
import math
import re
from typing import Any

MAX_DEPTH = 32
# Tokenizers say "no limit" with int(1e30), 31 digits.
MAX_DIGITS = 40
# A whole string or one bracket. A string without an end runs to the end of the file, so that no text is scanned twice.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class NotPlainJson(ValueError):
    """The text may not be parsed; the message says why and quotes nothing but numbers."""


def parse(raw: bytes) -> Any:
    """The value. Raises ``NotPlainJson``."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotPlainJson("it is not UTF-8 text") from error
    if _depth(text) > MAX_DEPTH:
        raise NotPlainJson(f"it nests deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_int=_bounded, parse_float=_finite, parse_constant=_no_constant
        )
    except NotPlainJson:
        raise
    except (ValueError, RecursionError) as error:
        raise NotPlainJson("it is not JSON") from error


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return depth
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotPlainJson("an object has the same key twice")
    return value


def _bounded(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise NotPlainJson(f"a number has more than {MAX_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NotPlainJson("a number is infinite")
    return value


def _no_constant(name: str) -> float:
    raise NotPlainJson(f"{name} is not a number of JSON")
