"""Toy classifiers and NLI models of every family, with transformers' pipelines on the same files as references.

Everything is built once a process, below the folder of ``tiny_models``.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tiny_models import MAX_TOKENS, _tokenizer, root, spec_of

from model_store import convert
from model_store.catalogue import Catalogue, ModelSpec
from model_store.store import ModelStore
from model_store.stored_model import StoredModel

FAMILIES = ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "bart")
ODD_LABELS = ("1 star", "très/«bon»", "", 'a "b"\n', "漢字 😀", "constructor")
NLI_LABELS = ("contradiction", "neutral", "entailment")
NLI_TOKENS = 64
_CLASSES = {
    "bert": ("BertConfig", "BertForSequenceClassification"),
    "roberta": ("RobertaConfig", "RobertaForSequenceClassification"),
    "xlm-roberta": ("XLMRobertaConfig", "XLMRobertaForSequenceClassification"),
    "distilbert": ("DistilBertConfig", "DistilBertForSequenceClassification"),
    "mpnet": ("MPNetConfig", "MPNetForSequenceClassification"),
    "bart": ("BartConfig", "BartForSequenceClassification"),
}


@dataclass(frozen=True)
class Case:
    """A stored model and a pipeline on the same files, with typed special tokens as plain text."""

    stored: StoredModel
    pipeline: object


@cache
def classifier(family: str, labels: tuple[str, ...] = ODD_LABELS, problem: str | None = None) -> Case:
    """``problem``: ``problem_type`` in the configuration."""
    key = f"tiny-{family}-{len(labels)}-{problem or 'default'}".replace("_", "-")
    folder = build(family, root() / key, labels, MAX_TOKENS, problem)
    return _case(spec_for(folder, key, "classification"), "text-classification")


@cache
def nli(family: str, labels: tuple[str, ...] = NLI_LABELS) -> Case:
    key = f"tiny-{family}-nli-{'-'.join(labels)}".lower().replace("_", "-")
    folder = build(family, root() / key, labels, NLI_TOKENS)
    return _case(spec_for(folder, key, "zero-shot"), "zero-shot-classification")


def spec_for(folder: Path, key: str, task: str) -> ModelSpec:
    """A catalogue entry that locks a folder as it is now."""
    return spec_of(folder, key).model_copy(update={"task": task, "dimensions": None})


def _case(spec: ModelSpec, task: str) -> Case:
    store = ModelStore(root() / "store", Catalogue(format=1, models=(spec,)), convert.in_this_process)
    store.adopt(spec)
    stored = store.open(spec.key)
    return Case(stored, pipeline(stored.files, task))


def pipeline(files: Path, task: str) -> object:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(files, local_files_only=True)
    tokenizer.split_special_tokens = True
    return transformers.pipeline(task, model=str(files), tokenizer=tokenizer, device="cpu")


def probabilities(case: Case, texts: list[str], **options) -> np.ndarray:
    """(texts, labels), in the order of the model's labels, a text a pass."""
    config = case.pipeline.model.config
    labels = [config.id2label[number] for number in range(config.num_labels)]
    found = case.pipeline(texts, top_k=None, truncation=True, max_length=MAX_TOKENS, **options)
    return np.array([[{entry["label"]: entry["score"] for entry in row}[label] for label in labels] for row in found])


def entailed(case: Case, item: dict) -> np.ndarray:
    """(labels,) in the order of the item's."""
    options = {"hypothesis_template": item["hypothesis_template"], "multi_label": item["multi_label"]}
    found = case.pipeline(item["text"], item["labels"], **options)
    scores = dict(zip(found["labels"], found["scores"], strict=True))
    return np.array([scores[label] for label in item["labels"]])


def build(
    family: str, folder: Path, labels: tuple[str, ...], max_tokens: int, problem: str | None = None, seed: int = 0
) -> Path:
    """Write one toy classifier to ``folder``."""
    import torch
    import transformers

    tokenizer = _paired_tokenizer(family)
    config_class, model_class = (getattr(transformers, name) for name in _CLASSES[family])
    torch.manual_seed(seed + len(family) + 10 * len(labels))
    config = config_class(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type=problem,
        **_shape(family, tokenizer, max_tokens),
    )
    model_class(config).eval().save_pretrained(folder)
    tokenizer.model_max_length = max_tokens
    tokenizer.save_pretrained(folder)
    if family == "bert":
        # The class that tells which text of a pair a token belongs to.
        rewrite(folder, "tokenizer_config.json", tokenizer_class="BertTokenizer")
    return folder


def rewrite(folder: Path, name: str = "config.json", **changes) -> None:
    """Change a JSON file; None removes a key."""
    path = folder / name
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def _shape(family: str, tokenizer, max_tokens: int) -> dict:
    deep = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    wide = {"initializer_range": 0.4}
    if family == "distilbert":
        layers = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
        return {**wide, **layers, "max_position_embeddings": max_tokens}
    if family == "bart":
        heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
        layers = {"encoder_layers": 2, "decoder_layers": 3, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40}
        ends = {"eos_token_id": tokenizer.sep_token_id, "decoder_start_token_id": tokenizer.sep_token_id}
        # Deeper than the others; larger weights would make rounding errors visible.
        return {"d_model": 32, "init_std": 0.2, **heads, **layers, **ends, "max_position_embeddings": max_tokens}
    if family == "bert":
        return {**wide, **deep, "max_position_embeddings": max_tokens}
    one_type = {} if family == "mpnet" else {"type_vocab_size": 1}
    # These count positions from behind the padding's.
    return {**wide, **deep, **one_type, "max_position_embeddings": max_tokens + 2}


def _paired_tokenizer(family: str):
    """As the family frames pairs."""
    from tokenizers import processors

    tokenizer = _tokenizer("roberta" if family == "bart" else family)
    first, last = tokenizer.cls_token, tokenizer.sep_token
    single, pair = f"{first} $A {last}", f"{first} $A {last} {last} $B {last}"
    if family in ("bert", "distilbert"):
        pair = f"{first} $A {last} $B:1 {last}:1"
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (first, last)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=ids
    )
    return tokenizer
