"""An embedding model for export, by sentence-transformers, which is also its reference."""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from model_store.export_subject import Subject, position_offset
from model_store.lean_encoder import LeanEncoder

GOLDEN_TEXTS = ("", "Muster puts every model on duty: pinned, verified and proved before it serves.")


def embedding_subject(files: Path) -> Subject:
    """Load the model in float32 on the CPU; no code from its folder runs."""
    reference = SentenceTransformer(
        str(files),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True, "dtype": torch.float32},
    )
    model = reference[0].model.eval().requires_grad_(False)
    return Subject(
        lean=LeanEncoder(model),
        reference=lambda ids, mask: model(input_ids=ids, attention_mask=mask).last_hidden_state,
        output="last_hidden_state",
        tokenizer=reference.tokenizer,
        facts=_facts(reference),
    )


def _facts(reference: SentenceTransformer) -> dict[str, Any]:
    """What a replica must know about the model."""
    config = reference[0].model.config
    offset = position_offset(reference[0].model.embeddings)
    positions = config.max_position_embeddings - offset
    limit = int(min(reference.max_seq_length or positions, positions))
    # Left to itself, the reference fails on texts longer than its positions.
    reference.max_seq_length = limit
    golden = reference.encode(list(GOLDEN_TEXTS), convert_to_numpy=True, show_progress_bar=False)
    return {
        "family": config.model_type,
        "max_tokens": limit,
        "position_offset": offset,
        "pad_id": int(reference.tokenizer.pad_token_id),
        "prompt": reference.prompts.get(reference.default_prompt_name or "", ""),
        "dimensions": int(golden.shape[1]),
        "golden": [{"text": text, "embedding": row.tolist()} for text, row in zip(GOLDEN_TEXTS, golden, strict=True)],
    }
