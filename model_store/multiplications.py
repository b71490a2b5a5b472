"""The multiplications of an exported graph that 8 bits can take over: of activations with a constant matrix."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Floats = npt.NDArray[np.float32]
_ATTENTION = ("Attention", "MultiHeadAttention")


@dataclass(frozen=True, slots=True)
class Multiplication:
    """``node``: Gemm, MatMul, or Attention with its projection; ``source``: name of the activations, (..., width);
    ``weights``: (width, outputs); ``bias``: its name, empty where there is none."""

    node: Any
    source: str
    weights: Floats
    bias: str

    def attribute(self, name: str) -> Any:
        return _attributes(self.node).get(name)


def multiplications(graph: Any) -> list[Multiplication]:
    """All of a graph, in its order."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    found = (_multiplication(node, constants) for node in graph.node)
    return [each for each in found if each is not None]


def maker(graph: Any, source: str) -> str:
    """The kind of operation that ``source`` comes from; changes of shape do not count."""
    by_output = {name: node for node in graph.node for name in node.output}
    while (node := by_output.get(source)) is not None and node.op_type == "Reshape":
        source = node.input[0]
    return "" if node is None else "Attention" if node.op_type in _ATTENTION else str(node.op_type)


def _multiplication(node: Any, constants: Mapping[str, Any]) -> Multiplication | None:
    if node.op_type not in ("Gemm", "MatMul", "Attention") or node.input[1] not in constants:
        return None
    weights, attributes = numpy_helper.to_array(constants[node.input[1]]), _attributes(node)
    if (
        weights.ndim != 2
        or attributes.get("transA")
        or {attributes.get(name, 1.0) for name in ("alpha", "beta")} != {1.0}
    ):
        return None
    bias = node.input[2] if len(node.input) > 2 else ""
    return Multiplication(node, node.input[0], weights.T if attributes.get("transB") else weights, bias)


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
