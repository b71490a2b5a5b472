"""Tensors of the Open Inference Protocol v2: what models take and give, and how answers go over the wire."""

import asyncio
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.responses import Response

from deployments.errors import InvalidInput
from serve_app.api.schemas import MAX_INPUTS

HEADER = "Inference-Header-Content-Length"
LENGTH = struct.Struct("<I")
"""What stands before each text of a binary BYTES tensor."""
NUMBERS_AT_ONCE = 25_000
Datatype = Literal["BYTES", "FP32"]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model takes or gives. -1 in ``shape`` is any number; ``also``: other shapes that it takes."""

    name: str
    datatype: Datatype
    shape: Shape
    also: tuple[Shape, ...] = ()

    def metadata(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def check(self, datatype: str, given: Sequence[int]) -> None:
        """Raises ``InvalidInput`` for another datatype or shape."""
        if datatype != self.datatype:
            raise InvalidInput(f"It must have the datatype {self.datatype}.", self.name)
        if not any(_fits(given, shape) for shape in (self.shape, *self.also)):
            wanted = " or ".join(str(list(shape)) for shape in (self.shape, *self.also))
            raise InvalidInput(f"Its shape must be {wanted}, not {given[:8]}.", self.name)
        if not 1 <= given[0] <= MAX_INPUTS:
            raise InvalidInput(f"It must have 1 to {MAX_INPUTS} rows.", self.name)


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor to send: float32 numbers in ``shape``, or texts."""

    spec: TensorSpec
    shape: Shape
    values: NDArray[np.float32] | Sequence[str]

    def binary(self) -> bytes:
        """Row by row, little-endian; each text behind its length."""
        if isinstance(self.values, np.ndarray):
            return np.ascontiguousarray(self.values, "<f4").tobytes()
        return b"".join(LENGTH.pack(len(raw)) + raw for raw in (text.encode() for text in self.values))

    async def json(self) -> bytes:
        """A flat JSON list, made in parts: millions of digits at once would hold up every other request."""
        flat = self.values.ravel() if isinstance(self.values, np.ndarray) else self.values
        parts = []
        for start in range(0, len(flat), NUMBERS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            part = orjson.dumps(flat[start : start + NUMBERS_AT_ONCE], option=orjson.OPT_SERIALIZE_NUMPY)
            parts.append(part[1:-1])
        return b"[" + b",".join(parts) + b"]"


async def tensor_response(
    head: Mapping[str, Any], wanted: Sequence[tuple[Output, bool]], headers: Mapping[str, str]
) -> Response:
    """The answer: ``head`` with the outputs, those in binary behind the JSON."""
    tensors, tail = [], []
    for output, binary in wanted:
        shown = {**output.spec.metadata(), "shape": list(output.shape)}
        if binary:
            tail.append(output.binary())
            tensors.append(orjson.dumps({**shown, "parameters": {"binary_data_size": len(tail[-1])}}))
        else:
            tensors.append(orjson.dumps(shown)[:-1] + b',"data":' + await output.json() + b"}")
    start = orjson.dumps(head)[:-1] + b',"outputs":[' + b",".join(tensors) + b"]}"
    if not tail:
        return Response(start, headers=dict(headers), media_type="application/json")
    framed = {**headers, HEADER: str(len(start))}
    return Response(b"".join((start, *tail)), headers=framed, media_type="application/octet-stream")


def _fits(given: Sequence[int], shape: Shape) -> bool:
    return len(given) == len(shape) and all(want in (-1, have) for have, want in zip(given, shape, strict=True))
