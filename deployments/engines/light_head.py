"""A light head: a small classifier on the embeddings of a text model, from a safetensors file of some kilobytes.

One hidden layer with ReLU, then softmax: ``hidden.weight`` (width, dimensions), ``hidden.bias``, ``output.weight``
(labels, width), ``output.bias``, stored as float16 and computed in float32.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from deployments.engines.classification import softmax
from deployments.engines.pooling import Floats
from deployments.errors import EngineFault
from model_store.catalogue import ModelSpec
from model_store.errors import MusterError
from model_store.light_heads import head_address, read_head

logger = logging.getLogger("ray.serve.muster")

TENSORS = ("hidden.weight", "hidden.bias", "output.weight", "output.bias")


class LightHead:
    """Embeddings (..., dimensions) to probabilities (..., labels)."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Raises ``EngineFault`` for tensors that are not those of a head, or not finite."""
        if set(tensors) != set(TENSORS):
            raise EngineFault(f"A head has the tensors {', '.join(TENSORS)}.")
        self._hidden, self._hidden_bias, self._output, self._output_bias = (
            np.asarray(tensors[name], dtype=np.float32) for name in TENSORS
        )
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise EngineFault("A head has a number that is not finite.")

    @classmethod
    def read(cls, content: bytes) -> "LightHead":
        """From a safetensors file."""
        from safetensors.numpy import load

        return cls(load(content))

    @property
    def shape(self) -> tuple[int, int]:
        """Dimensions of an embedding, and labels."""
        return self._hidden.shape[1], len(self._output_bias)

    def __call__(self, embeddings: Floats) -> Floats:
        hidden = np.maximum(embeddings @ self._hidden.T + self._hidden_bias, np.float32(0))
        return softmax(hidden @ self._output.T + self._output_bias)


def load_heads(specs: Sequence[ModelSpec], dimensions: int) -> Mapping[str, LightHead]:
    """The heads on a model with embeddings of ``dimensions``, by address.

    One that is damaged is left out and logged: its base model answers without it.
    """
    heads = {}
    for spec in specs:
        try:
            heads[head_address(spec.key, spec.revision)] = _load(spec, dimensions)
        except MusterError as error:
            logger.error("The head %s does not serve: %s", spec.key, error)
    return heads


def _load(spec: ModelSpec, dimensions: int) -> LightHead:
    head, wanted = LightHead.read(read_head(spec)), (dimensions, len(spec.labels))
    if head.shape != wanted:
        raise EngineFault(f"{spec.key} has dimensions and labels {head.shape}, {wanted} are needed.")
    return head
