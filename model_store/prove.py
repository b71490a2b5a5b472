"""Proof of a model that has no exported graph: loaded once in a child process, its answers to golden texts recorded.

The artefact is ``golden.json``: ``inputs`` and ``outputs`` (logits of each input, or the tokens of a greedy
continuation), and ``memory.json``: what the process took (``model_store.measure``). ``check`` loads the model again and
compares. ``python -m model_store.prove record|check FILES TARGET TASK``.
"""

import json
import sys
from pathlib import Path
from typing import Any

from model_store import child, measure
from model_store.errors import ConversionFailed

TEXTS = ("Muster puts every model on duty.", "I did not expect this to go so well, and I am glad that it did!")
TOLERANCE = 1e-4
"""Largest difference of a logit between two loads; both are float32 on a CPU."""
NEW_TOKENS = 4


def in_child_process(files: Path, target: Path, task: str, progress: child.Progress) -> None:
    """Record the golden answers. Raises ``ConversionFailed``."""
    progress("loading it once and recording golden answers")
    child.run("model_store.prove", ["record", str(files.resolve()), str(target.resolve()), task], lambda line: None)


def check_in_child_process(files: Path, artefact: Path, task: str) -> None:
    """Load and compare with what was recorded. Raises ``ConversionFailed``."""
    arguments = ["check", str(files.resolve()), str(artefact.resolve()), task]
    child.run("model_store.prove", arguments, lambda line: None)


def record(files: Path, target: Path, task: str) -> None:
    """Write ``golden.json`` and ``memory.json``."""
    model, tokenizer = _loaded(files, task)
    outputs = _answers(model, tokenizer, task)
    measure.record(target)
    facts = {"task": task, "inputs": TEXTS, "outputs": outputs}
    (target / "golden.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def check(files: Path, artefact: Path, task: str) -> None:
    """Raises ``ConversionFailed`` when an answer moved."""
    golden = json.loads((artefact / "golden.json").read_bytes())
    for expected, found in zip(golden["outputs"], _answers(*_loaded(files, task), task), strict=True):
        moved = max((abs(a - b) for a, b in zip(expected, found, strict=True)), default=0.0)
        if not moved <= TOLERANCE * max(1.0, *map(abs, expected)):
            raise ConversionFailed(f"A golden answer moved by {moved:.1e}.")


def _loaded(files: Path, task: str) -> tuple[Any, Any]:
    import torch

    from model_store.loading import load_model, load_tokenizer

    # One thread: the sums are then added in the same order every time.
    torch.set_num_threads(1)
    return load_model(files, task), load_tokenizer(files)


def _answers(model: Any, tokenizer: Any, task: str) -> list[list[float]]:
    import torch

    with torch.inference_mode():
        return [_answer(model, tokenizer, text, task) for text in TEXTS]


def _answer(model: Any, tokenizer: Any, text: str, task: str) -> list[float]:
    encoded = golden_input(model, tokenizer, text)
    if task in ("classification", "zero-shot"):
        values = model(**encoded).logits[0]
    elif task == "embedding":
        values = model(**encoded).last_hidden_state[0].mean(dim=0)
    else:
        values = model.generate(**encoded, do_sample=False, num_beams=1, max_new_tokens=NEW_TOKENS)[0]
    return [float(value) for value in values]


def golden_input(model: Any, tokenizer: Any, text: str) -> Any:
    """What the model reads of a golden text: ``input_ids`` and ``attention_mask``, (1, tokens) each."""
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=_longest(model))
    encoded.pop("token_type_ids", None)
    return encoded


def _longest(model: Any) -> int:
    positions = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
    return max(4, min(64, int(positions or 64) - NEW_TOKENS - 2))


if __name__ == "__main__":
    child.confine()
    {"record": record, "check": check}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
