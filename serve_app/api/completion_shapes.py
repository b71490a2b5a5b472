"""OpenAI's shapes of generated text: whole, or in chunks."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from deployments.generation import Delta
from serve_app.api.event_stream import event
from serve_app.api.generations import Generated
from serve_app.api.names import Model


class Shape(Protocol):
    """What differs between chats and plain completions. ``id_prefix``, ``whole``, ``part``: OpenAI's own words."""

    id_prefix: str
    whole: str
    part: str

    def answer(self, text: str) -> dict[str, Any]:
        """A choice's own field in a whole answer."""

    def delta(self, text: str, *, first: bool) -> dict[str, Any]:
        """The same in a chunk."""


class ChatShape:
    """``/v1/chat/completions``."""

    id_prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def answer(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def delta(self, text: str, *, first: bool) -> dict[str, Any]:
        content = {"content": text} if text or first else {}
        return {"delta": {"role": "assistant", **content} if first else content}


class TextShape:
    """``/v1/completions``."""

    id_prefix, whole, part = "cmpl", "text_completion", "text_completion"

    def answer(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def delta(self, text: str, *, first: bool) -> dict[str, Any]:
        return {"text": text}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who answered which request. ``fallback``: it was not the role's first choice."""

    request_id: str
    model: Model
    revision: str
    fallback: bool

    def headers(self) -> dict[str, str]:
        """OpenAI's shapes have no place for all of it."""
        fallback = str(self.fallback).lower()
        return {"X-Model": self.model.key, "X-Model-Revision": self.revision, "X-Fallback": fallback}

    def head(self, shape: Shape, kind: str) -> dict[str, Any]:
        """The fields that every answer and chunk begins with."""
        return {
            "id": f"{shape.id_prefix}-{self.request_id}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model.key,
            "system_fingerprint": self.revision,
        }


def whole(shape: Shape, origin: Origin, made: Generated) -> bytes:
    """The whole answer's JSON."""
    body = {
        **origin.head(shape, shape.whole),
        "choices": [_choice(shape.answer(made.text), made.finish)],
        "usage": usage(made.prompt_tokens, made.completion_tokens),
        "truncated": _truncated(made.cut),
    }
    return orjson.dumps(body)


class Chunks:
    """Writes one answer's chunks. ``usage``: at the end, with the tokens of the whole."""

    def __init__(self, shape: Shape, origin: Origin, *, usage: bool) -> None:
        self._shape, self._wants_usage = shape, usage
        self._head = origin.head(shape, shape.part) | ({"usage": None} if usage else {})
        self._last: Delta | None = None

    def write(self, delta: Delta) -> bytes:
        """The delta's chunk; none when nothing is new in it."""
        first, self._last = self._last is None, delta
        if not (first or delta.text or delta.finish):
            return b""
        choice = _choice(self._shape.delta(delta.text, first=first), delta.finish)
        body = {**self._head, "choices": [choice]}
        return event(orjson.dumps({**body, "truncated": _truncated(delta.cut)} if first else body))

    def end(self) -> bytes:
        """The chunk with the usage, when it is wanted."""
        if not self._wants_usage or self._last is None:
            return b""
        used = usage(self._last.prompt_tokens, self._last.completion_tokens)
        return event(orjson.dumps({**self._head, "choices": [], "usage": used}))


def _choice(content: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish}


def usage(prompt: int, completion: int) -> dict[str, int]:
    """The tokens that were read and made."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _truncated(cut: Mapping[str, int] | None) -> list[dict[str, int]]:
    return [{"index": 0, "tokens": cut["tokens"], "kept": cut["kept"]}] if cut else []
