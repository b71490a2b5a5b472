"""Export of an encoder to an ONNX graph, proved against the reference, in a child process.

The artefact folder gets four files:

- ``encoder.onnx``: ``input_ids``, ``attention_mask`` (batch, length; int64) -> ``last_hidden_state`` (float32).
- ``tokenizer.json``: the tokenizer as sentence-transformers sets it up, with special tokens that cannot be typed.
- ``encoder.json``: what a replica must know without torch: limits, positions, golden embeddings.
- ``memory.json``: what a process with it takes (``model_store.measure``), which no replica needs but the plan.

The conversion loads torch, transformers and sentence-transformers (1 GiB, seconds), which is why it never runs in a
replica and runs in a process of its own: ``python -m model_store.convert FILES TARGET``.
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
RECIPE = "4"
"""Raise it when the export changes, so that stores convert again."""
TIMEOUT_S = 900.0


def runtime() -> str:
    """Name and version of the runtime that serves the graph."""
    return f"onnxruntime {version('onnxruntime')}"


def made_with(files: Mapping[str, str]) -> dict[str, str]:
    """All that the artefact depends on; ``files`` maps the model's file names to their sha256."""
    digest = hashlib.sha256("".join(f"{name}\0{files[name]}\n" for name in sorted(files)).encode())
    exporter = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "sentence-transformers"))
    return {"files": digest.hexdigest(), "exporter": exporter, "recipe": RECIPE, "runtime": runtime()}


def artefact_id(facts: Mapping[str, str]) -> str:
    """16 hex digits that change with anything the artefact was made with."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:16]


def is_convertible(files: Path) -> bool:
    """Whether the model is a sentence-transformers model of a family that is exported."""
    try:
        config = json.loads((files / "config.json").read_bytes())
        modules = json.loads((files / "modules.json").read_bytes())
        first = str(modules[0]["type"])
        return (
            config["model_type"] in FAMILIES
            and first.startswith("sentence_transformers.")
            and (first.endswith(".Transformer"))
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def in_child_process(files: Path, target: Path, progress: Progress) -> None:
    """Convert and measure in child processes, passing their messages on. Raises ``ConversionFailed``."""
    child.run("model_store.convert", [str(files.resolve()), str(target.resolve())], progress, TIMEOUT_S)
    measure.in_child_process(target, progress)


def in_this_process(files: Path, target: Path, progress: Progress) -> None:
    """Convert here. Raises ``ConversionFailed``."""
    from model_store.export import export

    export(files, target, progress)


if __name__ == "__main__":
    child.confine()
    in_this_process(Path(sys.argv[1]), Path(sys.argv[2]), lambda message: print(message, flush=True))
