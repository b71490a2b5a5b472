"""A classifier, of texts or (NLI) of pairs of texts, for export; transformers' own model is its reference."""

from pathlib import Path
from typing import Any

import torch

from model_store.errors import ConversionFailed
from model_store.export_embedding import GOLDEN_TEXTS
from model_store.export_subject import Subject, position_offset
from model_store.labels import entailment_number, read_labels
from model_store.lean_bart import LeanBart
from model_store.lean_classifier import LeanClassifier
from model_store.loading import load_model, load_tokenizer
from model_store.token_types import token_types

GOLDEN_PAIRS = tuple((text, "This is about duty.") for text in GOLDEN_TEXTS)
_PROBLEMS = {"regression": "regression", "multi_label_classification": "multi"}


def classifier_subject(files: Path, task: str) -> Subject:
    """Load a ``classification`` or ``zero-shot`` model. Raises ``ConversionFailed``, ``UntrustedArtefact``."""
    model, tokenizer = load_model(files, task), load_tokenizer(files)
    is_bart = model.config.model_type == "bart"
    separator = separator_of(model.config, tokenizer) if task == "zero-shot" else None
    if is_bart:
        _require_end(model.config, tokenizer)
    return Subject(
        lean=LeanBart(model) if is_bart else LeanClassifier(model, separator),
        reference=lambda ids, mask: _logits(model, ids, mask, separator),
        output="logits",
        tokenizer=tokenizer,
        facts=_facts(files, task, model, tokenizer, separator),
        ends_with=model.config.eos_token_id if is_bart else None,
        separator=separator,
    )


def _facts(files: Path, task: str, model: Any, tokenizer: Any, separator: int | None) -> dict[str, Any]:
    """What a replica must know about the model. Raises ``ConversionFailed``, ``UntrustedArtefact``."""
    labels = read_labels(files)
    if len(labels) != model.config.num_labels:
        raise ConversionFailed(f"The model has {len(labels)} names for {model.config.num_labels} labels.")
    meaning = {"entailment": entailment_number(files)} if task == "zero-shot" else {"problem": _problem(model.config)}
    limits = _limits(model, tokenizer)
    return {
        "family": model.config.model_type,
        "dimensions": len(labels),
        "labels": labels,
        **meaning,
        **limits,
        "separator": separator,
        "golden": _golden(model, tokenizer, task, limits["max_tokens"], separator),
    }


def _problem(config: Any) -> str:
    """``single`` (softmax), ``multi`` (a sigmoid each) or ``regression``, as transformers' pipeline decides it."""
    if config.problem_type in _PROBLEMS:
        return _PROBLEMS[config.problem_type]
    return "multi" if config.num_labels == 1 else "single"


def _limits(model: Any, tokenizer: Any) -> dict[str, Any]:
    offset = position_offset(getattr(model.base_model, "embeddings", None))
    if tokenizer.pad_token_id is None:
        raise ConversionFailed("The model's tokenizer has no padding token.")
    return {
        "max_tokens": int(min(tokenizer.model_max_length, model.config.max_position_embeddings - offset)),
        "position_offset": offset,
        "pad_id": int(tokenizer.pad_token_id),
        "prompt": "",
    }


def separator_of(config: Any, tokenizer: Any) -> int | None:
    """The token that parts a pair for models that have types of tokens. Raises ``ConversionFailed`` for other rules."""
    if getattr(config, "type_vocab_size", 0) < 2 or "token_type_ids" not in tokenizer.model_input_names:
        return None
    encoded = tokenizer("a", "a", return_tensors="pt")
    if not encoded.token_type_ids.any():
        return None
    separator = int(encoded.input_ids[0, -1])
    if not torch.equal(token_types(encoded.input_ids, separator), encoded.token_type_ids):
        raise ConversionFailed("The model's tokenizer has types of tokens that are not told by its separator.")
    return separator


def _require_end(config: Any, tokenizer: Any) -> None:
    """BART answers at its last end-of-text token; the graph looks at the last token."""
    for encoded in (tokenizer("a"), tokenizer("a", "a")):
        if encoded.input_ids[-1] != config.eos_token_id:
            raise ConversionFailed("The model's tokenizer does not end a text with the token that the model looks for.")


def _golden(model: Any, tokenizer: Any, task: str, limit: int, separator: int | None) -> list[dict[str, Any]]:
    """Golden texts or pairs, each with its logits, computed alone."""
    found = []
    for pair in GOLDEN_PAIRS if task == "zero-shot" else [(text,) for text in GOLDEN_TEXTS]:
        encoded = tokenizer(*pair, return_tensors="pt", truncation="only_first", max_length=limit)
        with torch.inference_mode():
            logits = _logits(model, encoded.input_ids, encoded.attention_mask, separator)[0].tolist()
        found.append({**dict(zip(("text", "hypothesis"), pair, strict=False)), "logits": logits})
    return found


def _logits(model: Any, ids: Any, mask: Any, separator: int | None) -> Any:
    types = {} if separator is None else {"token_type_ids": token_types(ids, separator)}
    return model(input_ids=ids, attention_mask=mask, **types).logits
