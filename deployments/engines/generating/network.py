"""A transformers model seen as two passes: prompts in, and one more token for every running generation.

The model's own ``forward`` computes both. Rows of different lengths end at the same column; positions and masks are each
row's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from deployments.engines.generating.grouped_attention import use_grouped_attention
from deployments.engines.generating.padding import left_padded, right_padded
from deployments.engines.generating.replay import Replay
from deployments.engines.generating.rows import ROOM, Rows, row_of


class Tokens(Protocol):
    """What a pass needs to know of a generation."""

    source: Sequence[int]
    """The prompt."""
    out: Sequence[int]
    """What was generated so far."""


@dataclass(slots=True)
class Prefill:
    """Prompts on their way into the batch: some short ones at once, or one in pieces. ``done``: tokens computed."""

    members: Sequence[Any]
    cache: Any = None
    done: int = 0


class Network(Protocol):
    """One running generation is one row."""

    @property
    def width(self) -> int:
        """Columns of keys and values that each row takes: as many as the longest one."""

    def prefill(self, prefill: Prefill, most: int) -> Any:
        """Compute up to ``most`` tokens of each prompt; (members, vocabulary) logits, None when there are more to do."""

    def join(self, prefill: Prefill, index: int) -> None:
        """A computed prompt becomes the last row."""

    def leave(self, index: int) -> None:
        """The last row takes the place of row ``index``."""

    def clear(self) -> None:
        """Forget all rows."""

    def decode(self, tokens: Sequence[int]) -> Any:
        """One token more for every row, given its last one: (rows, vocabulary) logits."""


class CausalNetwork:
    """A decoder: GPT-2, Mistral, Phi. ``replays``: steps are recorded and launched as one, by default on a GPU."""

    def __init__(self, model: Any, device: str, replays: bool | None = None) -> None:
        self._model, self._device = model, device
        self._replays = device != "cpu" if replays is None else replays
        use_grouped_attention(model)
        self.clear()

    @property
    def width(self) -> int:
        return self.rows.width

    def clear(self) -> None:
        # A recorded step is worth more room: it is recorded anew whenever the rows grow.
        self.rows = Rows(self._model.config.num_hidden_layers, 2 * ROOM if self._replays else ROOM)
        self._replay = Replay(self._model, self.rows, self._device) if self._replays else None

    def prefill(self, prefill: Prefill, most: int) -> Any:
        from transformers import DynamicCache

        prefill.cache = prefill.cache or DynamicCache()
        ids, mask = left_padded([[*member.source, *member.out] for member in prefill.members], self._device)
        first, last = prefill.done, min(prefill.done + most, ids.shape[1])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = self._forward(
            ids[:, first:last], mask[:, :last], positions[:, first:last], past_key_values=prefill.cache
        )
        prefill.done = last
        return logits if last == ids.shape[1] else None

    def join(self, prefill: Prefill, index: int) -> None:
        member = prefill.members[index]
        self.rows.join(row_of(prefill.cache, index, len(member.source) + len(member.out), at_end=True))

    def leave(self, index: int) -> None:
        self.rows.leave(index)

    def decode(self, tokens: Sequence[int]) -> Any:
        import torch

        self.rows.reserve()
        logits = self._replay.step(tokens) if self._replay else None
        if logits is None:
            ids = torch.tensor(tokens, device=self._device)[:, None]
            positions = torch.tensor(self.rows.lengths, device=self._device)[:, None]
            logits = self._forward(ids, self.rows.mask(1, self._device), positions, past_key_values=self.rows.cache)
        self.rows.advance()
        return logits

    def _forward(self, ids: Any, mask: Any, positions: Any, **cache: Any) -> Any:
        output = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **cache
        )
        return output.logits[:, -1].float()


class Seq2SeqNetwork:
    """An encoder with a decoder: BART, T5. A prompt is read in one pass, because each of its tokens sees all others."""

    def __init__(self, model: Any, device: str) -> None:
        self._model, self._device = model, device
        self.clear()
        self._start = int(model.generation_config.decoder_start_token_id)
        self._positions: Any = None
        embedding = getattr(model.get_decoder(), "embed_positions", None)
        if embedding is not None:
            # BART's decoder gives all rows the same positions; each of ours has its own. T5 has relative ones.
            embedding.register_forward_hook(self._own_positions)

    @property
    def width(self) -> int:
        return self.rows.width + self._cross.width

    def clear(self) -> None:
        layers = len(_decoder_layers(self._model))
        self.rows, self._cross = Rows(layers), Rows(layers)

    def prefill(self, prefill: Prefill, most: int) -> Any:
        from transformers import DynamicCache, EncoderDecoderCache

        sources, source_mask = right_padded([member.source for member in prefill.members], self._device)
        encoded = self._model.get_encoder()(input_ids=sources, attention_mask=source_mask).last_hidden_state
        prefill.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        ids, mask = left_padded([[self._start, *member.out] for member in prefill.members], self._device)
        self._positions = (mask.cumsum(1) - 1).clamp(min=0)
        return self._forward(ids, mask, encoded, source_mask, prefill.cache)

    def join(self, prefill: Prefill, index: int) -> None:
        member = prefill.members[index]
        caches = prefill.cache
        self.rows.join(row_of(caches.self_attention_cache, index, 1 + len(member.out), at_end=True))
        self._cross.join(row_of(caches.cross_attention_cache, index, len(member.source), at_end=False))

    def leave(self, index: int) -> None:
        self.rows.leave(index)
        self._cross.leave(index)

    def decode(self, tokens: Sequence[int]) -> Any:
        import torch
        from transformers import EncoderDecoderCache

        self.rows.reserve()
        ids = torch.tensor(tokens, device=self._device)[:, None]
        self._positions = torch.tensor(self.rows.lengths, device=self._device)[:, None]
        cross_mask = self._cross.mask(0, self._device)
        # Only its shape is looked at: the keys and values of the source are in the cache.
        encoded = torch.zeros((1, 1, 1), dtype=self._model.dtype, device=self._device).expand(*cross_mask.shape, 1)
        caches = EncoderDecoderCache(self.rows.cache, self._cross.cache)
        logits = self._forward(ids, self.rows.mask(1, self._device), encoded, cross_mask, caches)
        self.rows.advance()
        return logits

    def _forward(self, ids: Any, mask: Any, encoded: Any, source_mask: Any, caches: Any) -> Any:
        output = self._model(
            encoder_outputs=(encoded,),
            attention_mask=source_mask,
            decoder_input_ids=ids,
            decoder_attention_mask=mask,
            past_key_values=caches,
            use_cache=True,
        )
        return output.logits[:, -1].float()

    def _own_positions(self, module: Any, inputs: Any, output: Any) -> Any:
        import torch

        return torch.nn.functional.embedding(self._positions + module.offset, module.weight)


def _decoder_layers(model: Any) -> Any:
    decoder = model.get_decoder()
    return getattr(decoder, "layers", None) or decoder.block
