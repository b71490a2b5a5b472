"""The export itself; imports torch, transformers and sentence-transformers. See ``model_store.convert``."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from sentence_transformers import SentenceTransformer

from model_store.errors import ConversionFailed
from model_store.lean_encoder import LeanEncoder

TOLERANCE = 3e-5
"""Largest difference of a hidden state, relative to the largest hidden state (at least 1)."""
GOLDEN_TEXTS = ("", "Muster puts every model on duty: pinned, verified and proved before it serves.")
_OPSET = 20


def export(files: Path, target: Path, progress: Callable[[str], None]) -> None:
    """Write the artefact of a model to ``target``. Raises ``ConversionFailed``."""
    progress("loading the reference model")
    reference = SentenceTransformer(
        str(files),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True, "dtype": torch.float32},
    )
    model = reference[0].model.eval().requires_grad_(False)
    facts = _facts(reference)
    progress("exporting the graph")
    _write_graph(model, target / "encoder.onnx")
    progress("checking the graph against torch")
    facts["max_abs_diff"] = _prove(model, target / "encoder.onnx", facts["max_tokens"], facts["pad_id"])
    tokenizer = untypable_special_tokens(json.loads(reference.tokenizer.backend_tokenizer.to_str()))
    (target / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (target / "encoder.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")


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


def _facts(reference: SentenceTransformer) -> dict[str, Any]:
    """What a replica must know about the model."""
    config = reference[0].model.config
    offset = _position_offset(reference[0].model)
    positions = config.max_position_embeddings - offset
    limit = int(min(reference.max_seq_length or positions, positions))
    # Left to itself, the reference fails on texts longer than its positions.
    reference.max_seq_length = limit
    golden = reference.encode(list(GOLDEN_TEXTS), convert_to_numpy=True, show_progress_bar=False)
    return {
        "family": config.model_type,
        "max_tokens": limit,
        "position_offset": offset,
        "pad_id": _pad_id(reference),
        "prompt": reference.prompts.get(reference.default_prompt_name or "", ""),
        "dimensions": int(golden.shape[1]),
        "golden": [{"text": text, "embedding": row.tolist()} for text, row in zip(GOLDEN_TEXTS, golden, strict=True)],
    }


def _position_offset(model: Any) -> int:
    """RoBERTa's descendants count positions from ``padding_idx + 1``; the others from 0."""
    padding_idx = getattr(model.embeddings, "padding_idx", None)
    return 0 if padding_idx is None else int(padding_idx) + 1


def _pad_id(reference: SentenceTransformer) -> int:
    return int(reference.tokenizer.pad_token_id)


def _write_graph(model: Any, path: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 8, 9]])
    names = ["input_ids", "attention_mask", "last_hidden_state"]
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns of sizes it takes for constants; the proof runs other sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            LeanEncoder(model).eval(),
            (ids, torch.ones_like(ids)),
            str(path),
            input_names=names[:2],
            output_names=names[2:],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
            opset_version=_OPSET,
            dynamo=False,
        )


def _prove(model: Any, path: Path, max_tokens: int, pad_id: int) -> float:
    """Largest difference to torch over all kinds of batches. Raises ``ConversionFailed`` beyond ``TOLERANCE``."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for name, ids, mask in _batches(max_tokens, pad_id):
        with torch.inference_mode():
            tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            expected = model(**tensors).last_hidden_state.numpy()
        (found,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        real = mask.astype(bool)
        diff = float(np.abs(found - expected)[real].max())
        scale = max(1.0, float(np.abs(expected)[real].max()))
        if not diff <= TOLERANCE * scale:
            raise ConversionFailed(f"The exported graph differs from torch by {diff:.2e} on the batch {name!r}.")
        worst = max(worst, diff)
    return worst


def _batches(max_tokens: int, pad_id: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Padded, unpadded, single, empty text (2 special tokens) and longest: name, ids, mask."""
    random = np.random.default_rng(0)
    kinds = {
        "padded": (2, 3, 9, max_tokens // 2),
        "unpadded": (7, 7, 7),
        "single": (9,),
        "empty text": (2,),
        "longest": (max_tokens,),
    }
    for name, lengths in kinds.items():
        lengths = tuple(min(length, max_tokens) for length in lengths)
        mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
        ids = np.where(mask == 1, random.integers(5, 25, mask.shape), pad_id)
        yield name, ids, mask
