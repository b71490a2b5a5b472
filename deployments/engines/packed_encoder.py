"""The torch encoder: the reference on every device, and the engine for GPUs.

Padding-free for the families that speak transformers' attention interface (BERT, RoBERTa, XLM-R, CamemBERT,
DistilBERT): the tokens of all texts lie end to end in one row with explicit positions, and attention runs per group of
texts of equal length. MPNet has its own attention with a relative bias and no such interface, and BART is no encoder;
their texts are sorted by length and padded.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import numpy as np

from deployments.cpu_gate import CpuGate
from deployments.engines.grouping import packed_batches, padded_batches, padding
from deployments.engines.pooling import Floats
from deployments.engines.text_encoder import TextEncoder
from deployments.engines.tokens import Ids
from deployments.settings import DeploymentSettings
from model_store.classification_head import classification_head
from model_store.store import StoredModel
from model_store.token_types import token_types

ATTENTION = "muster_packed"
PADDED = {"mpnet": "eager", "bart": "sdpa"}
"""Families whose texts are not packed, with the attention that they run with."""
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
        from transformers import AutoModel, AutoModelForSequenceClassification

        self._packed = self.facts.family not in PADDED
        if self._packed:
            register_attention()
        loader = AutoModel if self.head else AutoModelForSequenceClassification
        model = loader.from_pretrained(
            str(self.stored.files),
            attn_implementation=PADDED.get(self.facts.family, ATTENTION),
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        # BART's decoder would keep keys and values for a token that never comes.
        model.config.use_cache = False
        self._model = model.to(self._device).eval()
        if self._device == "cpu":
            torch.set_num_threads(self._settings.threads)
            self._gate = CpuGate(self._settings.gate_dir, self._settings.gate_slots)

    def _rows(self, windows: Sequence[Ids]) -> Floats:
        import torch

        rows = np.empty((len(windows), self.facts.dimensions), dtype=np.float32)
        forward = self._forward_packed if self._packed else self._forward_padded
        cut = packed_batches if self._packed else padded_batches
        for batch in cut([len(window) for window in windows], self._budget):
            with self._gate, torch.inference_mode():
                rows[batch] = forward([windows[index] for index in batch])
        return rows

    def _forward_packed(self, windows: Sequence[Ids]) -> Floats:
        """Texts sorted by length, so that equal lengths are neighbours."""
        lengths = np.array([len(window) for window in windows])
        starts = np.cumsum(lengths) - lengths
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths) + self.facts.position_offset
        body = self._model if self.head else self._model.base_model
        hidden = body(
            input_ids=self._row(np.concatenate(windows)),
            position_ids=self._row(positions),
            packed_groups=_groups(lengths.tolist()),
            **self._types(windows),
        ).last_hidden_state[0]
        if self.head is None:
            return _floats(classification_head(self._model)(hidden[starts]))
        return self.head(_floats(hidden), starts, lengths)

    def _forward_padded(self, windows: Sequence[Ids]) -> Floats:
        import torch

        lengths = np.array([len(window) for window in windows])
        width = int(lengths[0])
        self.padding += padding(lengths.tolist())
        mask = np.arange(width) < lengths[:, None]
        ids = np.full(mask.shape, self.facts.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate(windows)
        output = self._model(
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self._device),
        )
        if self.head is None:
            return _floats(output.logits)
        return self.head(_floats(output.last_hidden_state.flatten(0, 1)), np.arange(len(windows)) * width, lengths)

    def _types(self, windows: Sequence[Ids]) -> dict[str, Any]:
        """Which tokens belong to the second text of a pair, for the models that want to know."""
        if self.facts.separator is None:
            return {}
        types = [token_types(window, self.facts.separator) for window in windows]
        return {"token_type_ids": self._row(np.concatenate(types))}

    def _row(self, values: Any) -> Any:
        import torch

        return torch.from_numpy(values.astype(np.int64))[None].to(self._device)


def _floats(tensor: Any) -> Floats:
    return np.asarray(tensor.cpu().numpy(), dtype=np.float32)


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
