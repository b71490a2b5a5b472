"""The families' forward pass, written once for export: fewer and larger operations than the models' own modules make.

Attention with its projections is one operation of ONNX Runtime's, and for the rest of a layer all tokens of a batch are
rows of one matrix. The weights are the model's own; ``model_store.export`` proves that the results are too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Names:
    """Where a family keeps its modules; all but ``layers`` are relative to one layer."""

    layers: str
    query: str
    key: str
    value: str
    attended: str
    attention_norm: str
    up: str
    activation: str
    down: str
    output_norm: str


_BERT = Names(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attended="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    activation="intermediate.intermediate_act_fn",
    down="output.dense",
    output_norm="output.LayerNorm",
)
_DISTILBERT = Names(
    layers="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attended="attention.out_lin",
    attention_norm="sa_layer_norm",
    up="ffn.lin1",
    activation="ffn.activation",
    down="ffn.lin2",
    output_norm="output_layer_norm",
)
_MPNET = Names(
    layers="encoder.layer",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attended="attention.attn.o",
    attention_norm="attention.LayerNorm",
    up="intermediate.dense",
    activation="intermediate.intermediate_act_fn",
    down="output.dense",
    output_norm="output.LayerNorm",
)
_FAMILIES = {"distilbert": _DISTILBERT, "mpnet": _MPNET}


class LeanEncoder(torch.nn.Module):  # type: ignore[misc]
    """``input_ids``, ``attention_mask`` (batch, length) -> last hidden state (batch, length, width)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        names = _FAMILIES.get(model.config.model_type, _BERT)
        self.embeddings = model.embeddings
        self.heads = model.config.num_attention_heads
        self.width = model.config.hidden_size
        self.layers = torch.nn.ModuleList(Layer(layer, names) for layer in model.get_submodule(names.layers))
        self._position_bias = getattr(getattr(model, "encoder", None), "compute_position_bias", None)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.embedded(input_ids)
        return through(self.layers, states, attention_mask, self.bias(states), self.heads)

    def embedded(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor | None = None) -> torch.Tensor:
        """What the first layer reads, (batch, length, width)."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return self.embeddings(input_ids=input_ids, **types)

    def bias(self, states: torch.Tensor) -> torch.Tensor | None:
        """What MPNet adds to all attention scores for the distance of two tokens, (1, heads, length, length)."""
        return self._position_bias(states[:1]) if self._position_bias else None


def through(
    layers: Iterable["Layer"], states: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor | None, heads: int
) -> torch.Tensor:
    """(batch, length, width) states after some layers; ``mask``: (batch, length), 1 for real tokens."""
    batch, length, width = states.shape
    mask, rows = mask.to(torch.int32), states.reshape(-1, width)
    for layer in layers:
        mixed = Attention.apply(
            rows.view(batch, length, width), layer.projection, layer.projection_bias, mask, bias, heads, False
        )
        rows = layer(rows, mixed.reshape(-1, width))
    return rows.view(batch, length, width)


class Attention(torch.autograd.Function):  # type: ignore[misc]
    """Becomes ``com.microsoft.Attention``, (batch, length, width) to the same; torch only ever traces its shape.

    ``weights``, ``offsets``: (width, 3 * width) and (3 * width,), queries, keys and values side by side; ``mask``:
    (batch, length), 1 for real tokens, or None; ``bias``: (1, heads, length, length) or None; ``causal``: a token sees
    those before it.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Any, weights: Any, offsets: Any, mask: Any, bias: Any, heads: int, causal: bool
    ) -> Any:
        return states.clone()

    @staticmethod
    def symbolic(
        graph: Any, states: Any, weights: Any, offsets: Any, mask: Any, bias: Any, heads: int, causal: bool
    ) -> Any:
        nothing = graph.op("prim::Constant")
        nothing.setType(torch._C.OptionalType.ofTensor())
        optional = [nothing if _is_none(mask) else mask] + ([] if _is_none(bias) else [nothing, bias])
        mixed = graph.op(
            "com.microsoft::Attention",
            *(states, weights, offsets, *optional),
            num_heads_i=heads,
            unidirectional_i=int(causal),
        )
        mixed.setType(states.type())
        return mixed


def _is_none(value: Any) -> bool:
    return value is None or isinstance(value.type(), torch._C.NoneType)


class Layer(torch.nn.Module):  # type: ignore[misc]
    """One transformer layer over (batch * length, width) states."""

    def __init__(self, layer: Any, names: Names) -> None:
        super().__init__()
        parts = [layer.get_submodule(name) for name in (names.query, names.key, names.value)]
        self.projection = frozen(torch.cat([part.weight for part in parts]).t())
        self.projection_bias = frozen(torch.cat([part.bias for part in parts]))
        self.attended = layer.get_submodule(names.attended)
        self.attention_norm = layer.get_submodule(names.attention_norm)
        self.up = layer.get_submodule(names.up)
        self.activation = layer.get_submodule(names.activation)
        self.down = layer.get_submodule(names.down)
        self.output_norm = layer.get_submodule(names.output_norm)

    def forward(self, states: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """``mixed``: what attention made of ``states``."""
        return self.feed(self.attend(states, mixed))

    def attend(self, states: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """The layer's first half."""
        return self.attention_norm(self.attended(mixed) + states)

    def feed(self, states: torch.Tensor) -> torch.Tensor:
        """The layer's second half."""
        return self.output_norm(self.down(self.activation(self.up(states))) + states)


def frozen(values: torch.Tensor) -> torch.nn.Parameter:
    """A weight of a graph."""
    return torch.nn.Parameter(values.contiguous(), requires_grad=False)
