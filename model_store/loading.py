"""The one way in which a model's files become a transformers model: plain files, no code of theirs, no hub."""

from pathlib import Path
from typing import Any

from model_store.errors import ConversionFailed

_CLASSES = {
    "embedding": "AutoModel",
    "classification": "AutoModelForSequenceClassification",
    "zero-shot": "AutoModelForSequenceClassification",
    "generation": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
}


def load_model(files: Path, task: str, *, pickled: bool = False, half: bool = False) -> Any:
    """The model in evaluation mode, float32 on the CPU. ``pickled`` only ever inside the converting child; ``half``:
    bfloat16, for generation on a GPU.

    Raises ``ConversionFailed`` for a classifier without its head, which transformers would fill with random numbers.
    """
    import torch
    import transformers

    loader = getattr(transformers, _CLASSES[task])
    model, found = loader.from_pretrained(
        str(files),
        use_safetensors=not pickled,
        trust_remote_code=False,
        local_files_only=True,
        weights_only=True,
        dtype=torch.bfloat16 if half else torch.float32,
        output_loading_info=True,
    )
    if loader is transformers.AutoModelForSequenceClassification and found["missing_keys"]:
        raise ConversionFailed(f"The model's files have no {min(found['missing_keys'])}; it is not a classifier.")
    return model.eval().requires_grad_(False)


def load_tokenizer(files: Path) -> Any:
    """The fast tokenizer of a model. Raises what transformers raises when there is none."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(
        str(files), use_fast=True, trust_remote_code=False, local_files_only=True
    )
