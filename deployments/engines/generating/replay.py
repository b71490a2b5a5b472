"""A decoder's step recorded once and launched as one: a CUDA graph.

A step of a large decoder is hundreds of small kernels, and launching them one by one takes longer than they run. A graph
needs fixed shapes and addresses, so a recorded step attends to every column that the rows' tensors have room for, and what
changes from step to step is a tensor: last tokens, lengths, the column to write. It holds until the tensors grow.
"""

import logging
from collections.abc import Sequence
from typing import Any

from deployments.engines.generating.rows import Rows

logger = logging.getLogger("ray.serve.muster")

PATIENCE = 4
"""Steps that the tensors must have stayed the same before a step is recorded, which takes as long as two or three."""


class Replay:
    """The recorded steps of one batch, one for each power of two of rows. On a CPU steps of the same shapes, unrecorded."""

    def __init__(self, model: Any, rows: Rows, device: str) -> None:
        self._model, self._rows, self._device = model, rows, device
        self._steps: dict[int, _Step] = {}
        self._built, self._steady = 0, 0
        self._broken = False

    def step(self, tokens: Sequence[int]) -> Any:
        """(rows, vocabulary) logits, float32, valid until the next step; None where the caller must compute them itself.

        The rows must have a column reserved.
        """
        if self._built != self._rows.built:
            self._built, self._steady = self._rows.built, 0
            self._steps.clear()
        self._steady += 1
        if self._broken or self._steady <= PATIENCE:
            return None
        count = min(self._rows.held, 1 << (len(tokens) - 1).bit_length())
        try:
            step = self._steps.get(count) or _Step(self._model, self._rows, count, self._device, tokens)
        except RuntimeError as error:
            # Of this model's steps something cannot be recorded; they run as they are.
            logger.warning("A step cannot be recorded as a CUDA graph (%s).", type(error).__name__)
            self._broken = True
            return None
        self._steps[count] = step
        return step.run(tokens)


class _Step:
    """One step of ``count`` rows; those beyond the tokens compute what nobody looks at."""

    def __init__(self, model: Any, rows: Rows, count: int, device: str, tokens: Sequence[int]) -> None:
        import torch

        self._model, self._rows, self._count, self._device = model, rows, count, device
        # Tokens, lengths, and the column that is written.
        self._inputs = torch.zeros(2 * count + 1, dtype=torch.int64, device=device)
        self._graph: Any = None
        self._fill(tokens)
        if device != "cpu":
            self._record()

    def run(self, tokens: Sequence[int]) -> Any:
        self._fill(tokens)
        if self._graph is None:
            return self._compute()[: len(tokens)]
        self._graph.replay()
        return self._output[: len(tokens)]

    def _fill(self, tokens: Sequence[int]) -> None:
        import torch

        beyond = [0] * (self._count - len(tokens))
        values = torch.tensor([*tokens, *beyond, *self._rows.lengths, *beyond, self._rows.end])
        self._inputs.copy_(values if self._device == "cpu" else values.pin_memory(), non_blocking=True)

    def _record(self) -> None:
        import torch

        # Libraries set themselves up in their first call, which cannot be recorded.
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self._compute()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._output = self._compute()
        self._graph = graph

    def _compute(self) -> Any:
        import torch

        tokens, lengths, end = self._inputs.split([self._count, self._count, 1])
        columns = torch.arange(self._rows.room, device=self._device)
        own = (columns >= end - lengths[:, None]) & (columns <= end)
        dtype = self._model.dtype
        mask = torch.zeros(own.shape, dtype=dtype, device=self._device).masked_fill(~own, torch.finfo(dtype).min)
        with self._rows.all_columns(self._count, end):
            output = self._model(
                input_ids=tokens[:, None],
                attention_mask=mask[:, None, None],
                position_ids=lengths[:, None],
                past_key_values=self._rows.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return output.logits[:, -1].float()
