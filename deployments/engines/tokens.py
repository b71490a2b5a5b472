"""From texts to token ids, with ``tokenizers`` alone: no torch, no transformers.

Special-token strings typed in a text (``[SEP]``, ``</s>``) are plain text. Numbers of tokens include the special tokens
that the model wants around a text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from deployments.engines.base import Prepared
from deployments.errors import ContextLengthExceeded, InvalidInput

Truncate = Literal["error", "end", "start", "window"]
Problem = Literal["single", "multi", "regression"]
Ids = npt.NDArray[np.int32]
Encoded = list[int] | InvalidInput

MAX_WINDOWS = 64
_PIECE_CHARS = 16_384
# A blank after something else: no tokenizer of these families joins across it, so the pieces' tokens are the text's.
_CUT = re.compile(r"(?<=\S) ")


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """``encoder.json``: what the conversion found out about a model.

    ``dimensions``: numbers that come out for a text, of an embedding or a classifier's logits. ``golden``: texts, or
    pairs of texts, with these numbers. ``labels``: a classifier's own, by number; ``problem``: what its logits mean;
    ``entailment``: the number of an NLI model's label; ``separator``: token behind which a pair's second text begins,
    for models that have types of tokens.
    """

    family: str
    max_tokens: int
    position_offset: int
    pad_id: int
    prompt: str
    dimensions: int
    golden: list[dict[str, Any]]
    max_abs_diff: float
    labels: tuple[str, ...] = ()
    problem: Problem = "single"
    entailment: int = -1
    separator: int | None = None

    @classmethod
    def read(cls, folder: Path) -> "EncoderFacts":
        facts = json.loads((folder / "encoder.json").read_bytes())
        return cls(**{**facts, "labels": tuple(facts.get("labels", ()))})


class TokenReader:
    """A model's tokenizer with its limits. Thread-safe after construction."""

    def __init__(self, folder: Path, facts: EncoderFacts, model: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._prompt = facts.prompt
        self._limit = facts.max_tokens
        self._model = model
        self._before, self._after = self._special_tokens()
        self._room = self._limit - len(self._before) - len(self._after)

    def prepare(self, texts: Sequence[Any], truncate: Truncate = "error") -> list[Prepared | Exception]:
        """One item per text, or in its place ``InvalidInput`` or ``ContextLengthExceeded``.

        The payload is a tuple of id arrays (int32, special tokens included), more than one for ``window`` only.
        """
        if truncate not in get_args(Truncate):
            return [unknown_truncation() for _ in texts]
        return [self._outcome(ids, truncate) for ids in self._encode(texts, truncate)]

    def _encode(self, texts: Sequence[Any], truncate: Truncate) -> list[Encoded]:
        """Short texts together, the others one by one."""
        short = [i for i, text in enumerate(texts) if isinstance(text, str) and len(text) <= _PIECE_CHARS]
        batch = [self._prompt + texts[i] for i in short]
        try:
            encodings = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        except (UnicodeError, TypeError):
            # Half a surrogate pair in one text fails the whole batch.
            return [self._encode_one(text, truncate) for text in texts]
        found: dict[int, Encoded] = {i: encoding.ids for i, encoding in zip(short, encodings, strict=True)}
        return [found[i] if i in found else self._encode_one(text, truncate) for i, text in enumerate(texts)]

    def _encode_one(self, text: Any, truncate: Truncate) -> Encoded:
        """Piece by piece, to bound memory; ``error`` and ``window`` stop at the first piece that is too much."""
        if not isinstance(text, str):
            return InvalidInput("It must be a text.")
        most = {"error": self._room, "window": self._room * MAX_WINDOWS}.get(truncate)
        ids: list[int] = []
        try:
            for piece in _pieces(self._prompt + text):
                if most is not None and len(ids) > most:
                    return self._too_long(len(ids), truncate, "more than ")
                ids.extend(self._tokenizer.encode(piece, add_special_tokens=False).ids)
        except (UnicodeError, TypeError):
            return InvalidInput("It is not valid Unicode text.")
        return ids

    def _outcome(self, ids: Encoded, truncate: Truncate) -> Prepared | Exception:
        if isinstance(ids, InvalidInput):
            return ids
        try:
            return self._fit(ids, truncate)
        except InvalidInput as error:
            return error

    def _fit(self, ids: Sequence[int], truncate: Truncate) -> Prepared:
        """Apply the truncation. Raises ``ContextLengthExceeded``."""
        if len(ids) <= self._room:
            return self._prepared([ids])
        if truncate == "end":
            return self._prepared([ids[: self._room]], cut_from=len(ids))
        if truncate == "start":
            return self._prepared([ids[len(ids) - self._room :]], cut_from=len(ids))
        if truncate == "window" and len(ids) <= self._room * MAX_WINDOWS:
            return self._prepared([ids[i : i + self._room] for i in range(0, len(ids), self._room)])
        raise self._too_long(len(ids), truncate)

    def _prepared(self, windows: Sequence[Sequence[int]], cut_from: int | None = None) -> Prepared:
        arrays = tuple(np.array([*self._before, *ids, *self._after], dtype=np.int32) for ids in windows)
        cost = sum(map(len, arrays))
        if min(map(len, arrays)) == 0:
            raise InvalidInput("The model finds no token in it.")
        report = None
        if cut_from is not None:
            report = {"tokens": cut_from + self._limit - self._room, "kept": cost}
        return Prepared(payload=arrays, cost=cost, key=digest(arrays), report=report)

    def _too_long(self, count: int, truncate: Truncate, at_least: str = "") -> ContextLengthExceeded:
        special = self._limit - self._room
        most = self._limit if truncate == "error" else self._room * MAX_WINDOWS + special
        return ContextLengthExceeded(
            f"The text has {at_least}{count + special} tokens; {self._model} reads at most {most}."
        )

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """Ids that belong before and after a text, found by looking at an encoded one."""
        encoding = self._tokenizer.encode("a", add_special_tokens=True)
        inner = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
        first, last = (inner[0], inner[-1] + 1) if inner else (len(encoding.ids), len(encoding.ids))
        return encoding.ids[:first], encoding.ids[last:]


def digest(arrays: Sequence[Ids]) -> bytes:
    """Equal for equal ids, 16 bytes."""
    return blake2b(b"|".join(array.tobytes() for array in arrays), digest_size=16).digest()


def unknown_truncation() -> InvalidInput:
    """The refusal of a way to truncate that is none."""
    return InvalidInput(f"It must be one of {', '.join(get_args(Truncate))}.", "truncate")


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PIECE_CHARS:
        cut = _CUT.search(text, start + _PIECE_CHARS)
        if cut is None:
            break
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]
