"""From a request to the ids that the model reads: plain texts, chats with and without a template, limits.

Strings that look like special tokens are plain text wherever a caller wrote them. Only the tokeniser's thread comes here.
"""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deployments.engines.generating.ranges import require_in_range
from deployments.errors import ContextLengthExceeded, InvalidInput
from deployments.generation import GenerationRequest, Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """``most``: tokens that may follow. ``cut``: ``{"tokens", "kept"}`` where the prompt was cut."""

    ids: list[int]
    most: int
    cut: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """``context``: tokens of prompt and answer together where ``shared``, else of each. ``default``: tokens of an answer
    that nobody bounded, None for as many as fit; ``end``: the id of the end token."""

    context: int
    shared: bool
    default: int | None
    end: int | None


class PromptReader:
    """Reads requests for one model. Raises ``InvalidInput`` and ``ContextLengthExceeded``."""

    def __init__(self, tokenizer: Any, limits: Limits, model: str) -> None:
        """``tokenizer``: transformers' fast tokenizer; ``model``: the name for error messages."""
        from tokenizers import Tokenizer

        self._template = tokenizer if tokenizer.chat_template else None
        self._special = [str(token) for token in tokenizer.all_special_tokens]
        # What is unknown to the vocabulary may be in any text.
        self._special_ids = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
        self._limits, self._model = limits, model
        description = tokenizer.backend_tokenizer.to_str()
        self._plain, self._marked = Tokenizer.from_str(description), Tokenizer.from_str(description)
        for each in (self._plain, self._marked):
            each.no_truncation()
            each.no_padding()
        self._plain.encode_special_tokens = True
        self._before, self._after = self._frame()

    def read(self, request: GenerationRequest) -> Prompt:
        require_in_range(request)
        try:
            if isinstance(request.prompt, str):
                return self._fit(self._plain_ids(request.prompt), request, self._before, self._after)
            return self._chat(list(request.prompt), request)
        except (UnicodeError, TypeError) as error:
            raise InvalidInput("It is not valid Unicode text.", "prompt") from error

    def _chat(self, turns: list[Turn], request: GenerationRequest) -> Prompt:
        """``truncate="start"`` drops the oldest turns, but no system turn and not the last one."""
        if not self._limits.shared:
            raise InvalidInput(f"{self._model} answers no chats; send it a text.", "messages")
        if request.truncate == "end":
            raise InvalidInput("A chat can only be cut at its start.", "truncate")
        ids = self._turn_ids(turns)
        total, room = len(ids), self._room(request)
        while len(ids) > room and request.truncate == "start" and (oldest := _droppable(turns)) is not None:
            del turns[oldest]
            ids = self._turn_ids(turns)
        cut = {"tokens": total, "kept": len(ids)} if len(ids) < total and len(ids) <= room else None
        return self._fit(ids, replace(request, truncate="error"), cut=cut)

    def _turn_ids(self, turns: Sequence[Turn]) -> list[int]:
        if not turns:
            raise InvalidInput("A chat needs at least one message.", "messages")
        if self._template is None:
            return self._joined(turns)
        marks = {f"\ue000{secrets.token_hex(8)}\ue001": special for special in self._special}
        typed = any(special in turn.content for special in self._special for turn in turns)
        contents = [_marked(turn.content, marks) for turn in turns] if typed else [turn.content for turn in turns]
        text = self._render([{**asdict(turn), "content": text} for turn, text in zip(turns, contents, strict=True)])
        if not typed:
            return list(self._marked.encode(text, add_special_tokens=False).ids)
        ids = list[int]()
        for piece in _split(text, marks):
            known = piece in marks
            ids += self._plain_ids(marks[piece]) if known else self._marked.encode(piece, add_special_tokens=False).ids
        return ids

    def _render(self, messages: list[dict[str, str]]) -> str:
        assert self._template is not None
        import jinja2

        try:
            return str(self._template.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except jinja2.TemplateError as error:
            # Templates refuse what their model was not trained on: a system turn, two user turns in a row.
            raise InvalidInput(
                f"The chat template of {self._model} refuses this order of roles.", "messages"
            ) from error

    def _joined(self, turns: Sequence[Turn]) -> list[int]:
        """A model without a template: every turn ends with the end token, the system's comes first."""
        if self._limits.end is None:
            raise InvalidInput(f"{self._model} answers no chats; send it a text.", "messages")
        ordered = sorted(turns, key=lambda turn: turn.role != "system")
        return [token for turn in ordered for token in (*self._plain_ids(turn.content), self._limits.end)]

    def _plain_ids(self, text: str) -> list[int]:
        ids = list(self._plain.encode(text, add_special_tokens=False).ids)
        if self._special_ids.isdisjoint(ids):
            return ids
        # A Unigram vocabulary has the special tokens as words; broken in two they are none.
        pieces = [part for piece in _split(text, self._special) for part in self._halves(piece)]
        return [token for piece in pieces for token in self._plain.encode(piece, add_special_tokens=False).ids]

    def _halves(self, piece: str) -> list[str]:
        return [piece[0], piece[1:]] if piece in self._special else [piece]

    def _room(self, request: GenerationRequest) -> int:
        """Tokens that a prompt may have."""
        if not self._limits.shared:
            return self._limits.context
        return self._limits.context - (request.max_tokens or 1)

    def _fit(
        self,
        ids: list[int],
        request: GenerationRequest,
        before: Sequence[int] = (),
        after: Sequence[int] = (),
        cut: Mapping[str, int] | None = None,
    ) -> Prompt:
        frame, limits = len(before) + len(after), self._limits
        total, room = len(ids) + frame, self._room(request) - frame
        if limits.context < (request.max_tokens or 1) or room < 1:
            raise self._too_long(total, request)
        if len(ids) > room:
            if request.truncate == "error":
                raise self._too_long(total, request)
            ids = ids[:room] if request.truncate == "end" else ids[-room:]
            cut = {"tokens": total, "kept": room + frame}
        ids = [*before, *ids, *after]
        if not ids:
            raise InvalidInput("The model finds no token in it.", "prompt")
        left = limits.context - len(ids) if limits.shared else limits.context
        most = request.max_tokens or min(left, limits.default or left)
        if request.min_tokens > most:
            raise InvalidInput(f"It must not be more than the {most} tokens that may be generated.", "min_tokens")
        return Prompt(ids, most, cut)

    def _too_long(self, tokens: int, request: GenerationRequest) -> ContextLengthExceeded:
        limits, asked = self._limits, request.max_tokens
        if limits.shared:
            wanted = f" and max_tokens asks for {asked}" if asked else ""
            return ContextLengthExceeded(
                f"The prompt has {tokens} tokens{wanted}; {self._model} has room for {limits.context} together.",
                "prompt",
            )
        if asked and asked > limits.context:
            return ContextLengthExceeded(f"{self._model} writes at most {limits.context} tokens.", "max_tokens")
        return ContextLengthExceeded(
            f"The text has {tokens} tokens; {self._model} reads at most {limits.context}.", "prompt"
        )

    def _frame(self) -> tuple[list[int], list[int]]:
        """Ids that belong before and after a text, found by looking at an encoded one."""
        encoding = self._plain.encode("a", add_special_tokens=True)
        inner = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
        first, last = (inner[0], inner[-1] + 1) if inner else (len(encoding.ids), len(encoding.ids))
        return encoding.ids[:first], encoding.ids[last:]


def _droppable(turns: Sequence[Turn]) -> int | None:
    """The oldest turn that may go: not the last one, and no system turn."""
    return next((i for i, turn in enumerate(turns[:-1]) if turn.role != "system"), None)


def _marked(content: str, marks: Mapping[str, str]) -> str:
    """The text with marks in the place of typed special tokens, the longest first."""
    for mark, special in sorted(marks.items(), key=lambda pair: -len(pair[1])):
        content = content.replace(special, mark)
    return content


def _split(text: str, marks: Iterable[str]) -> list[str]:
    """The text in pieces, every mark one of its own."""
    longest_first = sorted(marks, key=len, reverse=True)
    return [piece for piece in re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text) if piece]
