"""Tokens to text as they come: whole characters only, and nothing that a stop string may still take back."""

from collections.abc import Sequence
from typing import Any

WINDOW = 8
"""Tokens kept as the left context of the next one; enough for the longest character and for joining blanks."""
BROKEN = "\N{REPLACEMENT CHARACTER}"
LONGEST_BROKEN = 3
"""Replacement characters that the beginning of one character can decode to."""


class TextStream:
    """One generation's text. ``tokenizer``: a ``tokenizers.Tokenizer``; ``stops``: texts that end it."""

    def __init__(self, tokenizer: Any, stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        self._window: list[int] = []
        self._shown = 0
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """New text, ``""`` while none is certain. ``stopped`` is set when a stop string came; it is not in the text."""
        self._window.append(token)
        text = self._decode(self._window)
        settled = len(text) - _unfinished(text)
        new, self._shown = text[self._shown : settled], max(self._shown, settled)
        if settled == len(text) and len(self._window) > 2 * WINDOW:
            self._window = self._window[-WINDOW:]
            self._shown = len(self._decode(self._window))
        return self._until_stop(new)

    def finish(self) -> str:
        """What was held back and is certain now; half a character is not text."""
        held, self._held = self._held, ""
        return held

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _until_stop(self, new: str) -> str:
        text = self._held + new
        found = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _unfinished(text: str) -> int:
    """Characters at the end that the next token may still change."""
    return min(LONGEST_BROKEN, len(text) - len(text.rstrip(BROKEN)))


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of ``text`` that ``stop`` begins with."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
