"""The CPU engine: ONNX Runtime, fp32 or 8 bits, length-sorted batches. Imports neither torch nor transformers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.cpu_gate import CpuGate
from deployments.engines.grouping import padded_batches, padding
from deployments.engines.pooling import Floats
from deployments.engines.text_encoder import TextEncoder
from deployments.engines.tokens import Ids
from deployments.settings import DeploymentSettings
from model_store.stored_model import StoredModel


class OnnxEncoder(TextEncoder):
    """Runs the exported graph; every forward pass holds a slot of the node's CPU gate."""

    def __init__(self, stored: StoredModel, settings: DeploymentSettings) -> None:
        super().__init__(stored)
        self.backend = "onnxruntime-cpu" if stored.precision == "fp32" else f"onnxruntime-cpu-{stored.precision}"
        self._settings = settings
        self._session: Any = None
        self._gate: CpuGate

    def _load_model(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._settings.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self._settings.spin_us > 0)))
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(self._settings.spin_us))
        # Pauses between looks grow: on two hardware threads of one core, looking slows the other thread down.
        options.add_session_config_entry("session.intra_op.spin_backoff_max", "16")
        # Spinning on after the pass, the default, burns a core that other processes need.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        path = self.stored.artefact_dir() / "encoder.onnx"
        self._session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            # Its kernel is scalar: 0.8 ms where addition and normalisation together take 0.13.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        self._gate = CpuGate(self._settings.gate_dir, self._settings.gate_slots)

    def _rows(self, windows: Sequence[Ids]) -> Floats:
        rows = np.empty((len(windows), self.facts.dimensions), dtype=np.float32)
        for batch in padded_batches([len(window) for window in windows], self._settings.token_budget):
            rows[batch] = self._forward([windows[index] for index in batch])
        return rows

    def _forward(self, windows: Sequence[Ids]) -> Floats:
        """One padded batch; the first window is the longest."""
        lengths = np.array([len(window) for window in windows])
        width = int(lengths[0])
        self.padding += padding(lengths.tolist())
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        ids = np.full(mask.shape, self.facts.pad_id, dtype=np.int64)
        ids[mask == 1] = np.concatenate(windows)
        output = self._compute(ids, mask)
        if self.head is None:
            return np.asarray(output, dtype=np.float32)
        starts = np.arange(len(windows)) * width
        return self.head(output.reshape(-1, output.shape[-1]), starts, lengths)

    def _compute(self, ids: Any, mask: Any) -> Any:
        """The graph's output for one batch; ``ids``, ``mask``: (texts, length)."""
        with self._gate:
            (output,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return output
