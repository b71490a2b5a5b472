"""A model that is about to be exported, whatever it is made for: what ``model_store.export`` needs to know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Subject:
    """``lean``: the module to trace, ids and mask (batch, length) -> ``output``. ``reference``: what its graph must equal,
    called with the same two tensors. ``tokenizer``: transformers' own. ``facts``: what goes into ``encoder.json``.

    ``ends_with``: token that every text ends with where the model looks for it; ``separator``: token between the two
    texts of a pair where the model looks for it.
    """

    lean: Any
    reference: Callable[[Any, Any], Any]
    output: Literal["last_hidden_state", "logits"]
    tokenizer: Any
    facts: Mapping[str, Any]
    ends_with: int | None = None
    separator: int | None = None


def position_offset(embeddings: Any) -> int:
    """RoBERTa's descendants count positions from ``padding_idx + 1``; the others from 0."""
    padding_idx = getattr(embeddings, "padding_idx", None)
    return 0 if padding_idx is None else int(padding_idx) + 1
