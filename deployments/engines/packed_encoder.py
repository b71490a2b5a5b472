"""The torch encoder: the reference on every device, and the engine for GPUs.

Padding-free for the families that speak transformers' attention interface (BERT, RoBERTa, XLM-R, CamemBERT,
DistilBERT): the tokens of all texts lie end to end in one row with explicit positions (``packed_attention``). MPNet has its
own attention with a relative bias and no such interface, and BART is no encoder; their texts are sorted by length and
padded.

A device is never waited for but once a call: ids go out from pinned memory, passes are queued one behind the other, states
are pooled where they are, and the rows of all passes come back in one copy.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from deployments.cpu_gate import CpuGate
from deployments.engines.grouping import PASS_OVERHEAD, packed_batches, padded_batches, padding
from deployments.engines.packed_attention import ATTENTION, Packed, groups_of, register_attention
from deployments.engines.pooling import Floats
from deployments.engines.text_encoder import TextEncoder
from deployments.engines.tokens import Ids
from deployments.engines.torch_pooling import pool
from deployments.settings import DeploymentSettings
from model_store.classification_head import classification_head
from model_store.stored_model import StoredModel
from model_store.token_types import token_types

PADDED = {"mpnet": "eager", "bart": "sdpa"}
"""Families whose texts are not packed, with the attention that they run with."""
CPU_TOKENS, GPU_TOKENS, MOST_TOKENS = 2_048, 16_384, 65_536
OVERHEADS = {"cpu": PASS_OVERHEAD, "cuda": 2_048}
"""What a padded pass costs beyond its tokens, in tokens: a GPU waits some milliseconds for a pass to be launched."""


def pass_tokens(kind: str, width: int) -> int:
    """Tokens of one forward pass of a model so wide. A pass on a GPU costs its launches whatever it computes, so a narrow
    model gets as many as make the work of ``GPU_TOKENS`` at a width of 1,024; bounded, for whoever comes meanwhile."""
    if kind == "cpu":
        return CPU_TOKENS
    return max(GPU_TOKENS, min(MOST_TOKENS, GPU_TOKENS * 1024**2 // width**2))


class PackedEncoder(TextEncoder):
    """Runs the model itself in torch: fp32, or fp16 for a model that was opened so; rows are fp32 in both.

    ``device``: ``cpu`` (behind the node's gate), ``cuda`` or ``cuda:N``. ``budget``: tokens of a pass, once it is loaded.
    """

    def __init__(self, stored: StoredModel, settings: DeploymentSettings, device: str = "cpu") -> None:
        super().__init__(stored)
        self.backend = f"torch-{device}" if stored.precision == "fp32" else f"torch-{device}-{stored.precision}"
        self._settings = settings
        self._device = device
        self._kind = device.partition(":")[0]
        self._overhead = OVERHEADS[self._kind]
        self.budget = CPU_TOKENS
        self._model: Any = None
        self._gate: Any = nullcontext()

    def _load_model(self) -> None:
        import torch

        self._packed = self.facts.family not in PADDED
        if self._packed:
            register_attention()
        dtype = torch.float16 if self.stored.precision == "fp16" else torch.float32
        model = self._read_weights(PADDED.get(self.facts.family, ATTENTION), dtype)
        # BART's decoder would keep keys and values for a token that never comes.
        model.config.use_cache = False
        self._model = model.to(self._device).eval()
        self.budget = pass_tokens(self._kind, model.config.hidden_size)
        if self._device == "cpu":
            torch.set_num_threads(self._settings.threads)
            self._gate = CpuGate(self._settings.gate_dir, self._settings.gate_slots)

    def _read_weights(self, attention: str, dtype: Any) -> Any:
        """The model in transformers; no code from its folder runs."""
        from transformers import AutoModel, AutoModelForSequenceClassification

        loader = AutoModel if self.head else AutoModelForSequenceClassification
        return loader.from_pretrained(
            str(self.stored.files),
            attn_implementation=attention,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )

    def _rows(self, windows: Sequence[Ids]) -> Floats:
        import torch

        passes, order = list[Any](), list[int]()
        for batch in self._cut([len(window) for window in windows]):
            with self._gate, torch.inference_mode():
                passes.append(self._forward([windows[index] for index in batch]))
            order += batch
        found = self._fetch(torch.cat(passes))
        found = self.head.finish(found) if self.head else found
        rows = np.empty(found.shape, dtype=np.float32)
        rows[order] = found
        return rows

    def _cut(self, lengths: Sequence[int]) -> list[list[int]]:
        if self._packed:
            return packed_batches(lengths, self.budget)
        return padded_batches(lengths, self.budget, self._overhead)

    def _forward(self, windows: Sequence[Ids]) -> Any:
        """One pass over texts sorted by length, longest first: pooled states or logits, (texts, width) on the device."""
        lengths = np.array([len(window) for window in windows])
        offsets = self._move(np.concatenate([[0], np.cumsum(lengths)]))
        if self._packed:
            states = self._packed_states(windows, lengths, offsets)
            if self.head is None:
                return classification_head(self._model)(states[offsets[:-1]]).float()
        else:
            states = self._padded_states(windows, lengths)
            if self.head is None:
                return states.float()
        return pool(self.head.modes, states, offsets[:-1], offsets.diff())

    def _packed_states(self, windows: Sequence[Ids], lengths: Any, offsets: Any) -> Any:
        """(tokens, width)"""
        within = np.concatenate([np.arange(length) for length in lengths])
        rows = [np.concatenate(windows), within + self.facts.position_offset]
        if self.facts.separator is not None:
            # Which tokens belong to the second text of a pair, for the models that want to know.
            rows.append(np.concatenate([token_types(window, self.facts.separator) for window in windows]))
        inputs = dict(zip(("input_ids", "position_ids", "token_type_ids"), self._move(np.stack(rows)), strict=False))
        body = self._model if self.head else self._model.base_model
        packed = Packed(offsets.int(), int(lengths[0]), groups_of(lengths.tolist()))
        return body(**{name: row[None] for name, row in inputs.items()}, packed=packed).last_hidden_state[0]

    def _padded_states(self, windows: Sequence[Ids], lengths: Any) -> Any:
        """(tokens, width) without the padding's; without a head the logits."""
        self.padding += padding(lengths.tolist())
        mask = np.arange(int(lengths[0])) < lengths[:, None]
        ids = np.full(mask.shape, self.facts.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate(windows)
        input_ids, attention_mask = self._move(np.stack([ids, mask]))
        output = self._model(input_ids=input_ids, attention_mask=attention_mask)
        if self.head is None:
            return output.logits
        return output.last_hidden_state.flatten(0, 1)[self._move(np.flatnonzero(mask))]

    def _move(self, values: Any) -> Any:
        """Whole numbers to the device, queued there before what uses them."""
        import torch

        tensor = torch.from_numpy(values.astype(np.int64))
        return tensor if self._device == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)

    def _fetch(self, rows: Any) -> Floats:
        """Wait for everything that was queued."""
        import torch

        if self._device != "cpu":
            pinned = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            pinned.copy_(rows, non_blocking=True)
            torch.cuda.current_stream(rows.device).synchronize()
            rows = pinned
        return np.asarray(rows.numpy(), dtype=np.float32)
