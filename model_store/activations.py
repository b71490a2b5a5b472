"""How far activations reach, looked at while the exact graph computes: what fixes the scales of the 8-bit one."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from model_store.multiplications import Floats, multiplications

Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Ids and mask, (texts, length) each."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Lowest and highest value of each channel over all real tokens, (width,) each."""

    low: Floats
    high: Floats

    def and_of(self, rows: Floats) -> "Reach":
        """Widened by (tokens, width) more."""
        return Reach(np.minimum(self.low, rows.min(axis=0)), np.maximum(self.high, rows.max(axis=0)))


def reaches(graph: Path, batches: Iterable[Batch]) -> dict[str, Reach]:
    """By name, the reach of every tensor that enters a multiplication for every token.

    What is computed once a text only (a classifier's last rows and its head) is left out: it costs little and its errors
    would be the answer's.
    """
    with tempfile.TemporaryDirectory(prefix="muster-quantize-") as folder:
        names, session = _instrumented(graph, Path(folder))
        found: dict[str, Reach] = {}
        for ids, mask in batches:
            real = mask.astype(bool).ravel()
            outputs = session.run(names, {"input_ids": ids, "attention_mask": mask})
            for name, output in zip(list(names), outputs, strict=True):
                rows = output.reshape(-1, output.shape[-1])
                if len(rows) != ids.size:
                    names.remove(name)
                    continue
                known = found.get(name) or Reach(rows[real].min(axis=0), rows[real].max(axis=0))
                found[name] = known.and_of(rows[real])
    return found


def _instrumented(graph: Path, folder: Path) -> tuple[list[str], onnxruntime.InferenceSession]:
    """The graph with the multiplied tensors as outputs more, and their names."""
    model = onnx.load(graph)
    names = list(dict.fromkeys(each.source for each in multiplications(model.graph)))
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    onnx.save(model, folder / "graph.onnx", save_as_external_data=True, location="weights")
    return names, onnxruntime.InferenceSession(str(folder / "graph.onnx"), providers=["CPUExecutionProvider"])
