"""The torch encoder: the reference on every device, and the engine for GPUs.

Padding-free for the families that speak transformers' attention interface (BERT, RoBERTa, XLM-R, CamemBERT,
DistilBERT): the tokens of all texts lie end to end in one row with explicit positions, and attention runs per group of
texts of equal length. MPNet has its own attention with a relative bias and no such interface; its texts are sorted by
length and padded.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import numpy as np

from deployments.cpu_gate import CpuGate
from deployments.engines.grouping import packed_batches, padded_batches
from deployments.engines.pooling import Floats
from deployments.engines.text_encoder import TextEncoder
from deployments.engines.tokens import Ids
from deployments.settings import DeploymentSettings
from model_store.store import StoredModel

ATTENTION = "muster_packed"
BUDGETS = {"cpu": 2_048, "cuda": 16_384}
"""Tokens of one forward pass."""

Group = tuple[int, int, int]
"""First token, number of texts, tokens of each."""


class PackedEncoder(TextEncoder):
    """Runs the model itself in torch, fp32. ``device``: ``cpu`` (behind the node's gate), ``cuda`` or ``cuda:N``."""

    def __init__(self, stored: StoredModel, settings: DeploymentSettings, device: str = "cpu") -> None:
        super().__init__(stored)
        self.backend = f"torch-{device}"
        self._settings = settings
        self._device = device
        self._budget = BUDGETS[device.partition(":")[0]]
        self._model: Any = None
        self._gate: Any = nullcontext()

    def _load_model(self) -> None:
        import torch
        from transformers import AutoModel

        self._packed = self.facts.family != "mpnet"
        if self._packed:
            register_attention()
        model = AutoModel.from_pretrained(
            str(self.stored.files),
            attn_implementation=ATTENTION if self._packed else "eager",
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        self._model = model.to(self._device).eval()
        if self._device == "cpu":
            torch.set_num_threads(self._settings.threads)
            self._gate = CpuGate(self._settings.gate_dir, self._settings.gate_slots)

    def _embed(self, windows: Sequence[Ids]) -> Floats:
        import torch

        vectors = np.empty((len(windows), self.facts.dimensions), dtype=np.float32)
        forward = self._forward_packed if self._packed else self._forward_padded
        cut = packed_batches if self._packed else padded_batches
        for batch in cut([len(window) for window in windows], self._budget):
            with self._gate, torch.inference_mode():
                vectors[batch] = forward([windows[index] for index in batch])
        return vectors

    def _forward_packed(self, windows: Sequence[Ids]) -> Floats:
        """Texts sorted by length, so that equal lengths are neighbours."""
        lengths = np.array([len(window) for window in windows])
        starts = np.cumsum(lengths) - lengths
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths) + self.facts.position_offset
        hidden = self._model(
            input_ids=self._row(np.concatenate(windows)),
            position_ids=self._row(positions),
            packed_groups=_groups(lengths.tolist()),
        ).last_hidden_state[0]
        return self.head(hidden.cpu().numpy(), starts, lengths)

    def _forward_padded(self, windows: Sequence[Ids]) -> Floats:
        import torch

        lengths = np.array([len(window) for window in windows])
        width = int(lengths[0])
        mask = np.arange(width) < lengths[:, None]
        ids = np.full(mask.shape, self.facts.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate(windows)
        hidden = self._model(
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self._device),
        ).last_hidden_state
        return self.head(hidden.flatten(0, 1).cpu().numpy(), np.arange(len(windows)) * width, lengths)

    def _row(self, values: Any) -> Any:
        import torch

        return torch.from_numpy(values.astype(np.int64))[None].to(self._device)


def register_attention() -> None:
    """Teach transformers the packed attention; no mask is needed, because no text sees another."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(ATTENTION, packed_attention)
    AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)


def packed_attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    packed_groups: Sequence[Group],
    scaling: float | None = None,
    **unused: Any,
) -> tuple[Any, None]:
    """Attention within each text. query, key, value: (1, heads, tokens, width) -> (1, tokens, heads, width)."""
    import torch

    heads, width = query.shape[1], query.shape[3]
    outputs = []
    for start, count, length in packed_groups:
        # (heads, count * length, width) -> (count, heads, length, width)
        q, k, v = (
            tensor[0, :, start : start + count * length].unflatten(1, (count, length)).transpose(0, 1)
            for tensor in (query, key, value)
        )
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)
        outputs.append(attended.transpose(1, 2).reshape(count * length, heads, width))
    return torch.cat(outputs)[None], None


def _groups(lengths: Sequence[int]) -> list[Group]:
    groups, start = [], 0
    for length, same in groupby(lengths):
        count = len(list(same))
        groups.append((start, count, length))
        start += count * length
    return groups
