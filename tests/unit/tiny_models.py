"""Toy sentence-transformers models of every family, built from their configs with toy tokenizers, and their references.

Everything is built once a process, below one temporary folder.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deployments.settings import DeploymentSettings
from model_store import convert
from model_store.catalogue import Catalogue, FolderSource, Limits, ModelSpec, load_catalogue
from model_store.store import ModelStore
from model_store.stored_model import StoredModel

FAMILIES = ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet")
MAX_TOKENS = 24
WORDS = ["duty", "muster", "model", "engine", "token", "window", "a", "an", "the", "of", "lower", "naive", "inspect"]
_WIDTH = 32
_ROOT = tempfile.TemporaryDirectory(prefix="muster-tiny-")


def root() -> Path:
    return Path(_ROOT.name)


def settings() -> DeploymentSettings:
    return DeploymentSettings(threads=1, gate_dir=root() / "gate")


def spec_of(folder: Path, key: str) -> ModelSpec:
    """A catalogue entry that locks a folder as it is now."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return ModelSpec(
        key=key,
        id=f"tiny/{key}",
        task="embedding",
        family=json.loads((folder / "config.json").read_bytes())["model_type"],
        parameters=1,
        download_mb=1,
        source=FolderSource(path=folder),
        revision=hashlib.sha1(key.encode()).hexdigest(),
        licence="Apache-2.0",
        dimensions=_WIDTH,
        limits=Limits(max_tokens=MAX_TOKENS),
        files=files,
    )


@dataclass(frozen=True)
class Case:
    """A stored model and sentence-transformers on the same files, with typed special tokens as plain text."""

    stored: StoredModel
    reference: object


@cache
def case(name: str) -> Case:
    """``name``: a family, ``minilm``, or ``unknown-module``."""
    if name == "minilm":
        catalogue = load_catalogue()
        spec, converter = catalogue.resolve("embedding"), convert.in_child_process
    else:
        spec = spec_of(build(name, root() / name), f"tiny-{name}")
        catalogue, converter = Catalogue(format=1, models=(spec,)), convert.in_this_process
    store = ModelStore(root() / "store", catalogue, converter)
    store.adopt(spec)
    stored = store.open(spec.key)
    return Case(stored, reference(stored.files))


def reference(files: Path) -> object:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(files), device="cpu", local_files_only=True)
    model.tokenizer.split_special_tokens = True
    return model


def build(name: str, folder: Path) -> Path:
    """Write one toy model to ``folder``. Each has another head: poolings, dense layer, normalisation."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    family = "bert" if name == "unknown-module" else name
    base = folder.with_name(f"{folder.name}-base")
    torch.manual_seed(len(name))
    _transformer(family).save_pretrained(base)
    _tokenizer(family).save_pretrained(base)
    body = modules.Transformer(str(base), max_seq_length=MAX_TOKENS)
    heads = {
        "bert": lambda: [modules.Pooling(_WIDTH, "mean"), modules.Normalize()],
        "roberta": lambda: [modules.Pooling(_WIDTH, "mean_sqrt_len_tokens")],
        "xlm-roberta": lambda: [modules.Pooling(_WIDTH, "weightedmean"), modules.Normalize()],
        "distilbert": lambda: [modules.Pooling(_WIDTH, "cls"), modules.Dense(_WIDTH, 16), modules.Normalize()],
        "mpnet": lambda: [modules.Pooling(_WIDTH, ("max", "mean", "lasttoken")), modules.Normalize()],
        "unknown-module": lambda: [modules.Pooling(_WIDTH, "mean"), modules.LayerNorm(_WIDTH)],
    }
    SentenceTransformer(modules=[body, *heads[name]()], device="cpu").save(str(folder))
    return folder


def _transformer(family: str):
    import transformers

    tokenizer = _tokenizer(family)
    shape = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.4,
    }
    deep = {
        "hidden_size": _WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    }
    # RoBERTa's descendants lose padding_idx + 1 positions: exactly MAX_TOKENS remain.
    offset = {"max_position_embeddings": MAX_TOKENS + 2}
    if family == "bert":
        return transformers.BertModel(transformers.BertConfig(**shape, **deep, max_position_embeddings=MAX_TOKENS + 8))
    if family == "distilbert":
        config = transformers.DistilBertConfig(**shape, dim=_WIDTH, n_layers=2, n_heads=4, hidden_dim=48)
        return transformers.DistilBertModel(config)
    if family == "mpnet":
        return transformers.MPNetModel(transformers.MPNetConfig(**shape, **deep, **offset))
    if family == "xlm-roberta":
        return transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**shape, **deep, **offset, type_vocab_size=1))
    return transformers.RobertaModel(transformers.RobertaConfig(**shape, **deep, **offset, type_vocab_size=1))


def _tokenizer(family: str):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    if family in ("bert", "distilbert"):
        names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    else:
        names = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
    special = list(names.values())
    if family in ("bert", "distilbert", "mpnet"):
        pieces = [*special, *WORDS, *letters, *[f"##{letter}" for letter in letters], *"[]<>/.,!"]
        vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=names["unk"]))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    elif family == "roberta":
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*special, *alphabet, "Ġa", "an"]))}
        tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "a"), ("a", "n")]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        # XLM-R's vocabulary holds its special tokens as pieces that a typed text can match.
        scored = [*((name, 0.0) for name in special), ("▁", -2.0), ("▁a", -3.0)]
        scored += [(letter, -6.0) for letter in [*letters, *"[]<>/.,!"]]
        tokenizer = Tokenizer(models.Unigram(scored, unk_id=special.index(names["unk"])))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    ids = [(names[name], special.index(names[name])) for name in ("cls", "sep")]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{ids[0][0]} $A {ids[1][0]}", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": text for name, text in names.items()}
    )
