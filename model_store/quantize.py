"""The 8-bit graph: an exported graph whose multiplications run on whole numbers.

Weights have a scale for each output, activations are mapped to bytes before each multiplication. All scales but one kind
are constants, so a text's answer never depends on the texts beside it:

- Behind a normalisation some channels reach ten times as far as the others. They are made smaller and the weights that
  meet them larger (SmoothQuant, Xiao et al. 2023), then the whole tensor has one scale.
- What attention mixes has one scale as it is.
- Behind an activation function a few tokens reach far beyond the others: each token has a scale of its own, computed when
  it runs.

Attention itself, normalisations, embeddings and what is computed once a text stay in float32.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from model_store.activations import Reach
from model_store.multiplications import Floats, Multiplication, maker, multiplications

SMOOTHING = 0.8
"""Part of a channel's reach that moves into the weights; of 0.5 to 1.0 the most accurate on MiniLM."""
_CONTRIB = "com.microsoft"
_MIDDLE = np.uint8(128)
_TINY = 1e-5


def quantize(source: Path, target: Path, reaches: Mapping[str, Reach]) -> int:
    """Write the 8-bit graph of ``source``; returns how many multiplications it has in 8 bits."""
    model = onnx.load(source)
    writer = _Writer(model.graph, reaches)
    writer.rewrite()
    onnx.save(model, target)
    return writer.count


class _Writer:
    """A graph that is being rewritten. A tensor that is multiplied several times is mapped to bytes once."""

    def __init__(self, graph: Any, reaches: Mapping[str, Reach]) -> None:
        self._graph, self._reaches = graph, reaches
        self._wanted = {each.node.output[0]: each for each in multiplications(graph) if each.source in reaches}
        self._factors = {name: self._smoothing(name) for name in {each.source for each in self._wanted.values()}}
        self._bytes: dict[str, tuple[str, str, str, str]] = {}
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self.count = len(self._wanted)

    def rewrite(self) -> None:
        for node in self._graph.node:
            wanted = self._wanted.get(node.output[0])
            if wanted is None:
                self._nodes.append(node)
            else:
                self._multiply(wanted)
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        for field, values in (
            (self._graph.node, self._nodes),
            (self._graph.initializer, [*kept, *self._constants.values()]),
            (self._graph.value_info, []),
        ):
            del field[:]
            field.extend(values)

    def _smoothing(self, source: str) -> Floats | None:
        """What each channel of ``source`` is divided by, (width,); around 1. None where it does not pay."""
        if maker(self._graph, source) != "LayerNormalization":
            return None
        reach = self._reaches[source]
        ours = np.maximum(np.maximum(-reach.low, reach.high), _TINY)
        weights = [np.abs(each.weights).max(axis=1) for each in self._wanted.values() if each.source == source]
        theirs = np.maximum(np.max(weights, axis=0), _TINY)
        factors = ours**SMOOTHING / theirs ** (1 - SMOOTHING)
        return np.asarray(factors / np.exp(np.log(factors).mean()), dtype=np.float32)

    def _multiply(self, wanted: Multiplication) -> None:
        node, result = wanted.node, wanted.node.output[0]
        values, scale, zero, rows = self._as_bytes(wanted.source)
        weights = self._weights(result, wanted.weights, self._factors[wanted.source])
        operands = (values, weights[0], scale, weights[1], zero, weights[2])
        if node.op_type == "Attention":
            self._attend(wanted, operands)
        elif not rows:
            self._add("MatMulIntegerToFloat", [*operands, wanted.bias], result, _CONTRIB)
        else:
            product = self._add("MatMulIntegerToFloat", [*operands], f"{result}/product", _CONTRIB)
            scaled = self._add("Mul", [product, rows], f"{result}/scaled" if wanted.bias else result)
            if wanted.bias:
                self._add("Add", [scaled, wanted.bias], result)

    def _attend(self, wanted: Multiplication, operands: tuple[str, ...]) -> None:
        """Attention over a projection in 8 bits. ``operands``: of the multiplication."""
        node, result = wanted.node, wanted.node.output[0]
        values, weights, scale, weights_scale, zero, weights_zero = operands
        mask, bias = (node.input[place] if len(node.input) > place else "" for place in (3, 5))
        attributes = {name: wanted.attribute(name) for name in ("num_heads", "unidirectional")}
        known = {name: value for name, value in attributes.items() if value is not None}
        if not bias:
            inputs = [values, weights, wanted.bias, scale, weights_scale, mask, zero, weights_zero]
            self._add("QAttention", inputs, result, _CONTRIB, **known)
            return
        # QAttention knows no bias of the scores, MPNet's distance of tokens.
        projected = self._add("MatMulIntegerToFloat", [*operands, wanted.bias], f"{result}/projected", _CONTRIB)
        width = wanted.weights.shape[1] // 3
        sizes = self._constant("thirds", np.full(3, width, dtype=np.int64))
        parts = [f"{result}/{part}" for part in ("queries", "keys", "values")]
        self._nodes.append(helper.make_node("Split", [projected, sizes], parts, name=f"{result}/split", axis=-1))
        self._add("MultiHeadAttention", [*parts, "", mask, bias], result, _CONTRIB, **known)

    def _weights(self, result: str, weights: Floats, factors: Floats | None) -> tuple[str, str, str]:
        """Names of the weights in 8 bits (width, outputs), their scales (outputs,) and their zeros."""
        smooth = weights if factors is None else weights * factors[:, None]
        scales = np.maximum(np.abs(smooth).max(axis=0), _TINY**2) / np.float32(127)
        return (
            self._constant(f"{result}/weights", np.rint(smooth / scales).astype(np.int8)),
            self._constant(f"{result}/weights_scale", scales.astype(np.float32)),
            self._constant(f"{result}/weights_zero", np.zeros(scales.shape, dtype=np.int8)),
        )

    def _as_bytes(self, source: str) -> tuple[str, str, str, str]:
        """Names of ``source`` as bytes, their scale and zero, and the scales (..., 1) of its rows, empty for none."""
        if source not in self._bytes:
            by_row = maker(self._graph, source) not in ("LayerNormalization", "Attention")
            self._bytes[source] = self._by_row(source) if by_row else self._by_tensor(source)
        return self._bytes[source]

    def _by_tensor(self, source: str) -> tuple[str, str, str, str]:
        reach, factors, smooth = self._reaches[source], self._factors[source], source
        divided = np.float32(1) if factors is None else factors
        low = min(float((reach.low / divided).min()), -_TINY)
        high = max(float((reach.high / divided).max()), _TINY)
        if factors is not None:
            smooth = self._add("Mul", [source, self._constant(f"{source}/smoothing", 1 / factors)], f"{source}/smooth")
        scale = self._constant(f"{source}/scale", np.float32((high - low) / 255))
        zero = self._constant(f"{source}/zero", np.uint8(round(-low / (high - low) * 255)))
        return self._add("QuantizeLinear", [smooth, scale, zero], f"{source}/bytes"), scale, zero, ""

    def _by_row(self, source: str) -> tuple[str, str, str, str]:
        """The least that was seen is a constant, which saves looking for it: activation functions have a floor."""
        floor = self._constant(f"{source}/floor", np.float32(max(-float(self._reaches[source].low.min()), _TINY)))
        last, most = self._constant("last", np.array([-1])), self._constant("most", np.float32(127))
        highest = self._add("ReduceMax", [source, last], f"{source}/highest", keepdims=1)
        farthest = self._add("Max", [highest, floor], f"{source}/farthest")
        scaled = self._add("Mul", [source, self._add("Div", [most, farthest], f"{source}/factor")], f"{source}/scaled")
        one, middle = self._constant("one", np.float32(1)), self._constant("middle", _MIDDLE)
        rows = self._add("Div", [farthest, most], f"{source}/rows")
        return self._add("QuantizeLinear", [scaled, one, middle], f"{source}/bytes"), one, middle, rows

    def _constant(self, name: str, value: Any) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _add(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output
