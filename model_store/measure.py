"""How much memory a model takes in a process of its own: ``memory.json`` beside what was made of it.

``process_bytes``: resident memory of a process that has loaded the model with its libraries and computed with it. An
exported encoder is measured here, in a child that imports what a replica imports: its tokenizer, its graph, and passes
of the sizes that a replica runs. Other kinds are measured where they are proved. ``python -m model_store.measure TARGET``.
"""

import json
import sys
from pathlib import Path

from model_store import child

MEMORY = "memory.json"
PASS_TOKENS = 512
"""Padded tokens of a replica's batch, as its settings have it by default."""


def in_child_process(target: Path, progress: child.Progress) -> None:
    """Load and run the exported encoder in ``target`` and record its memory. Raises ``ConversionFailed``."""
    progress("measuring its memory")
    child.run("model_store.measure", [str(target.resolve())], progress)


def record(target: Path) -> None:
    """Write what this process takes now."""
    import psutil

    facts = {"process_bytes": psutil.Process().memory_info().rss}
    (target / MEMORY).write_text(json.dumps(facts), encoding="utf-8")


def process_bytes(artefact: Path) -> int | None:
    """What was recorded; None where nothing was."""
    try:
        found = int(json.loads((artefact / MEMORY).read_bytes())["process_bytes"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if found > 0 else None


def run_encoder(target: Path) -> None:
    """A pass over many short texts and one over the longest; the runtime keeps what the larger one took."""
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    session = onnxruntime.InferenceSession(str(target / "encoder.onnx"), providers=["CPUExecutionProvider"])
    longest = json.loads((target / "encoder.json").read_bytes())["max_tokens"]
    for length in (min(16, longest), longest):
        ids = np.full((max(1, PASS_TOKENS // length), length), tokenizer.get_vocab_size() // 2, dtype=np.int64)
        session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    record(target)


if __name__ == "__main__":
    child.confine()
    run_encoder(Path(sys.argv[1]))
