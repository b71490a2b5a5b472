"""The export itself; imports torch and transformers. See ``model_store.convert``."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from model_store.errors import ConversionFailed
from model_store.export_subject import Subject

TOLERANCE = 3e-5
"""Largest difference of a hidden state or a logit, relative to the largest of them (at least 1)."""
_OPSET = 20


def export(files: Path, target: Path, task: str, progress: Callable[[str], None]) -> None:
    """Write the artefact of a model to ``target``. Raises ``ConversionFailed``."""
    progress("loading the reference model")
    subject = _subject(files, task)
    progress("exporting the graph")
    _write_graph(subject, target / "encoder.onnx")
    progress("checking the graph against torch")
    facts = {**subject.facts, "max_abs_diff": _prove(subject, target / "encoder.onnx")}
    tokenizer = untypable_special_tokens(json.loads(subject.tokenizer.backend_tokenizer.to_str()))
    (target / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (target / "encoder.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")


def _subject(files: Path, task: str) -> Subject:
    if task == "embedding":
        from model_store.export_embedding import embedding_subject

        return embedding_subject(files)
    from model_store.export_classifier import classifier_subject

    return classifier_subject(files, task)


def untypable_special_tokens(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """Rename the special tokens in the model's vocabulary (``tokenizer.json``), so that typed text never becomes one.

    ``encode_special_tokens`` only keeps typed special tokens from being cut out as such; a vocabulary that knows
    ``</s>`` as a piece, XLM-R's does, finds it all the same. The post-processor names special tokens by id.
    """
    model = tokenizer["model"]
    special = {token["content"] for token in tokenizer["added_tokens"] if token["special"]} - {model.get("unk_token")}

    def renamed(piece: str) -> str:
        return f"\uffff{piece}" if piece in special else piece

    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {renamed(piece): number for piece, number in vocabulary.items()}
    else:
        model["vocab"] = [[renamed(piece), score] for piece, score in vocabulary]
    return tokenizer


def _write_graph(subject: Subject, path: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 8, 9]])
    names = ["input_ids", "attention_mask", subject.output]
    axes = {name: {0: "batch"} if name == "logits" else {0: "batch", 1: "length"} for name in names}
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns of sizes it takes for constants; the proof runs other sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            subject.lean.eval(),
            (ids, torch.ones_like(ids)),
            str(path),
            input_names=names[:2],
            output_names=names[2:],
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )


def _prove(subject: Subject, path: Path) -> float:
    """Largest difference to torch over all kinds of batches. Raises ``ConversionFailed`` beyond ``TOLERANCE``."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for name, ids, mask in _batches(subject):
        with torch.inference_mode():
            expected = subject.reference(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        (found,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        if subject.output == "last_hidden_state":
            found, expected = found[mask == 1], expected[mask == 1]
        diff = float(np.abs(found - expected).max())
        scale = max(1.0, float(np.abs(expected).max()))
        if not diff <= TOLERANCE * scale:
            raise ConversionFailed(f"The exported graph differs from torch by {diff:.2e} on the batch {name!r}.")
        worst = max(worst, diff)
    return worst


def _batches(subject: Subject) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Padded, unpadded, single, empty text (2 special tokens) and longest: name, ids, mask."""
    random, limit = np.random.default_rng(0), subject.facts["max_tokens"]
    kinds = {
        "padded": (2, 3, 9, limit // 2),
        "unpadded": (7, 7, 7),
        "single": (9,),
        "empty text": (2,),
        "longest": (limit,),
    }
    for name, wanted in kinds.items():
        lengths = np.minimum(wanted, limit)
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        ids = np.where(mask == 1, random.integers(5, 25, mask.shape), subject.facts["pad_id"])
        for token, places in ((subject.separator, lengths // 2), (subject.ends_with, lengths - 1)):
            if token is not None:
                ids[np.arange(len(lengths)), places] = token
        yield name, ids, mask
