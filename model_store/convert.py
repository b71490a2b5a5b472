"""Export of an encoder or a classifier to an ONNX graph, proved against the reference, in a child process.

The artefact folder gets four files:

- ``encoder.onnx``: ``input_ids``, ``attention_mask`` (batch, length; int64) -> ``last_hidden_state`` of an embedding
  model, ``logits`` of a classifier (float32).
- ``tokenizer.json``: the tokenizer as its library sets it up, with special tokens that cannot be typed.
- ``encoder.json``: what a replica must know without torch: limits, positions, labels, golden texts and their answers.
- ``memory.json``: what a process with it takes (``model_store.measure``), which no replica needs but the plan.

The conversion loads torch, transformers and sentence-transformers (1 GiB, seconds), which is why it never runs in a
replica and runs in a process of its own: ``python -m model_store.convert FILES TARGET TASK``.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from model_store import child, measure
from model_store.child import Progress

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet")
CLASSIFIER_FAMILIES = (*FAMILIES, "bart")
CLASSIFIER_TASKS = ("classification", "zero-shot")
EXPORTED_TASKS = ("embedding", *CLASSIFIER_TASKS)
RECIPE = "5"
"""Raise it when the export changes, so that stores convert again."""
TIMEOUT_S = 900.0


def runtime() -> str:
    """Name and version of the runtime that serves the graph."""
    return f"onnxruntime {version('onnxruntime')}"


def made_with(files: Mapping[str, str], task: str) -> dict[str, str]:
    """All that the artefact depends on; ``files`` maps the model's file names to their sha256."""
    digest = hashlib.sha256("".join(f"{name}\0{files[name]}\n" for name in sorted(files)).encode())
    exporter = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "sentence-transformers"))
    facts = {"exporter": exporter, "recipe": RECIPE, "runtime": runtime()}
    return {"files": digest.hexdigest(), "task": task, **facts}


def artefact_id(facts: Mapping[str, str]) -> str:
    """16 hex digits that change with anything the artefact was made with."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:16]


def is_convertible(files: Path, task: str) -> bool:
    """Whether there is an export for such a model: a sentence-transformers model or a classifier of a known family."""
    try:
        family = json.loads((files / "config.json").read_bytes())["model_type"]
        if task in CLASSIFIER_TASKS:
            return family in CLASSIFIER_FAMILIES
        first = str(json.loads((files / "modules.json").read_bytes())[0]["type"])
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return (
        task == "embedding"
        and family in FAMILIES
        and first.startswith("sentence_transformers.")
        and first.endswith(".Transformer")
    )


def in_child_process(files: Path, target: Path, task: str, progress: Progress) -> None:
    """Convert and measure in child processes, passing their messages on. Raises ``ConversionFailed``."""
    child.run("model_store.convert", [str(files.resolve()), str(target.resolve()), task], progress, TIMEOUT_S)
    measure.in_child_process(target, progress)


def in_this_process(files: Path, target: Path, task: str, progress: Progress) -> None:
    """Convert here. Raises ``ConversionFailed``."""
    from model_store.export import export

    export(files, target, task, progress)


if __name__ == "__main__":
    child.confine()
    in_this_process(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], lambda message: print(message, flush=True))
