"""BART's forward pass as a classifier, written once for export.

The answer is read off the decoder's last token, so the decoder's last layer is computed for that token only. Padding
stands behind a text and a decoder's token sees only what is before it: no real token ever sees padding there.
"""

from typing import Any

import torch

from model_store.classification_head import classification_head
from model_store.lean_encoder import Attention, Layer, Names, frozen, through
from model_store.lean_row import RowAttention, row_attention

_NAMES = Names(
    layers="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attended="self_attn.out_proj",
    attention_norm="self_attn_layer_norm",
    up="fc1",
    activation="activation_fn",
    down="fc2",
    output_norm="final_layer_norm",
)


class LeanBart(torch.nn.Module):  # type: ignore[misc]
    """``input_ids``, ``attention_mask`` (batch, length), each text ending with its last real token -> logits
    (batch, labels)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        self.encoder, self.decoder = model.model.encoder, model.model.decoder
        self.start = int(config.decoder_start_token_id)
        self.encoder_heads, self.heads = config.encoder_attention_heads, config.decoder_attention_heads
        self.encoder_layers = torch.nn.ModuleList(Layer(layer, _NAMES) for layer in self.encoder.layers)
        layers = [_DecoderLayer(layer, self.heads) for layer in self.decoder.layers]
        self.layers, self.last = torch.nn.ModuleList(layers[:-1]), layers[-1]
        self.last_self = row_attention(self.last.layer, self.heads)
        self.last_cross = RowAttention(*self.last.cross_projection(), self.heads)
        self._head = classification_head(model)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        embedded = _embedded(self.encoder, input_ids)
        source = through(self.encoder_layers, embedded, attention_mask, None, self.encoder_heads)
        states = _embedded(self.decoder, self._shifted(input_ids))
        for layer in self.layers:
            states = layer(states, source, attention_mask)
        return self._head(self._last_row(states, source, attention_mask))

    def _shifted(self, input_ids: torch.Tensor) -> torch.Tensor:
        """The decoder reads the same text, one token later."""
        return torch.cat([torch.full_like(input_ids[:, :1], self.start), input_ids[:, :-1]], dim=1)

    def _last_row(self, states: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ends = (mask.sum(dim=1) - 1)[:, None, None].expand(-1, 1, states.shape[2])
        rows = states.gather(1, ends)[:, 0]
        rows = self.last.layer.attend(rows, self.last_self(rows, states, mask))
        rows = self.last.look(rows, self.last_cross(rows, source, mask))
        return self.last.layer.feed(rows)


class _DecoderLayer(torch.nn.Module):  # type: ignore[misc]
    """Self-attention, attention to the encoder's states, and the dense part, over (batch, length, width) states."""

    def __init__(self, layer: Any, heads: int) -> None:
        super().__init__()
        self.layer, self.heads = Layer(layer, _NAMES), heads
        self.cross, self.cross_norm = layer.encoder_attn, layer.encoder_attn_layer_norm

    def forward(self, states: torch.Tensor, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mixed = Attention.apply(states, self.layer.projection, self.layer.projection_bias, None, None, self.heads, True)
        states = self.layer.attend(states, mixed)
        queries, keys, values = self.cross.q_proj(states), self.cross.k_proj(source), self.cross.v_proj(source)
        states = self.look(states, _CrossAttention.apply(queries, keys, values, mask.to(torch.int32), self.heads))
        return self.layer.feed(states)

    def look(self, states: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """``mixed``: what attention made of the encoder's states."""
        return self.cross_norm(self.cross.out_proj(mixed) + states)

    def cross_projection(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and biases of the attention to the encoder, as ``RowAttention`` takes them."""
        parts = (self.cross.q_proj, self.cross.k_proj, self.cross.v_proj)
        return frozen(torch.cat([part.weight for part in parts]).t()), torch.cat([part.bias for part in parts])


class _CrossAttention(torch.autograd.Function):  # type: ignore[misc]
    """Becomes ``com.microsoft.MultiHeadAttention`` over projected queries, keys and values (batch, length, width)."""

    @staticmethod
    def forward(ctx: Any, queries: Any, keys: Any, values: Any, mask: Any, heads: int) -> Any:
        return queries.clone()

    @staticmethod
    def symbolic(graph: Any, queries: Any, keys: Any, values: Any, mask: Any, heads: int) -> Any:
        nothing = graph.op("prim::Constant")
        nothing.setType(torch._C.OptionalType.ofTensor())
        mixed = graph.op("com.microsoft::MultiHeadAttention", queries, keys, values, nothing, mask, num_heads_i=heads)
        mixed.setType(queries.type())
        return mixed


def _embedded(stack: Any, input_ids: torch.Tensor) -> torch.Tensor:
    """What the first layer of the encoder or the decoder reads."""
    return stack.layernorm_embedding(stack.embed_tokens(input_ids) + stack.embed_positions(input_ids))
