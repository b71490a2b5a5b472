"""Requests of the Open Inference Protocol v2: tensors in JSON, or behind it as bytes (the binary extension)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from starlette.requests import Request

from deployments.errors import InvalidInput
from serve_app.api.bodies import parse_json, validate
from serve_app.api.schemas import Body
from serve_app.api.tensors import HEADER, LENGTH, Output, TensorSpec


class InputTensor(Body):
    """One input. ``data``: flat or nested, row by row; left out when it follows as ``binary_data_size`` bytes."""

    name: str = Field(max_length=128)
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str = Field(max_length=16)
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = None


class RequestedOutput(Body):
    """One output that the client wants. ``parameters``: ``binary_data`` only."""

    name: str = Field(max_length=128)
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferenceRequest(Body):
    """``POST /v2/models/{key}/infer``, as the Open Inference Protocol documents it."""

    id: str | None = Field(None, max_length=1024, description="Comes back in the answer.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="`binary_data_output`, and the model's own.")
    inputs: list[InputTensor] = Field(min_length=1, max_length=8)
    outputs: list[RequestedOutput] = Field(default_factory=list, max_length=16, description="All when left out.")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the bytes of its binary inputs by name."""

    request: InferenceRequest
    raw: Mapping[str, memoryview] = field(default_factory=dict)

    def texts(self, spec: TensorSpec) -> list[str]:
        """A BYTES input as texts. Raises ``InvalidInput``."""
        tensor = self._tensor(spec)
        if tensor.name in self.raw:
            return _texts_from_bytes(self.raw[tensor.name], math.prod(tensor.shape), spec.name)
        flat = self._flat(tensor)
        for index, text in enumerate(flat):
            if not isinstance(text, str):
                raise InvalidInput("It must be a text.", f"{spec.name}[{index}]")
        return flat

    def numbers(self, spec: TensorSpec) -> NDArray[np.float32]:
        """An FP32 input in its shape, null as NaN. Raises ``InvalidInput``."""
        tensor = self._tensor(spec)
        if tensor.name in self.raw:
            raw = self.raw[tensor.name]
            if len(raw) != 4 * math.prod(tensor.shape):
                raise InvalidInput(f"{len(raw)} bytes do not make the shape {tensor.shape}.", spec.name)
            return np.frombuffer(raw, "<f4").astype(np.float32).reshape(tensor.shape)
        flat = self._flat(tensor)
        for index, value in enumerate(flat):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise InvalidInput("It must be a number, or null where nothing was observed.", f"{spec.name}[{index}]")
        with np.errstate(over="ignore"):
            return np.array(flat, dtype=np.float64).astype(np.float32).reshape(tensor.shape)

    def wanted(self, outputs: Sequence[Output]) -> list[tuple[Output, bool]]:
        """The outputs to send, each with whether in binary; all of the model's when none is named."""
        default = self.request.parameters.get("binary_data_output", False)
        by_name = {output.spec.name: output for output in outputs}
        if not self.request.outputs:
            return [(output, default) for output in outputs]
        return [(by_name[o.name], o.parameters.get("binary_data", default)) for o in self.request.outputs]

    def check(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        """Everything but the data, before any of it is read. Raises ``InvalidInput``."""
        _same_names("inputs", [tensor.name for tensor in self.request.inputs], [spec.name for spec in inputs])
        for spec in inputs:
            tensor = self._tensor(spec)
            spec.check(tensor.datatype, tensor.shape)
        asked = [output.name for output in self.request.outputs]
        known = [spec.name for spec in outputs]
        if len(set(asked)) != len(asked) or not set(asked) <= set(known):
            raise InvalidInput(f"Name each output once; there are: {', '.join(known)}.", "outputs")
        for output in self.request.outputs:
            _only_flags(output.parameters, "binary_data", f"outputs.{output.name}")

    def _tensor(self, spec: TensorSpec) -> InputTensor:
        return next(tensor for tensor in self.request.inputs if tensor.name == spec.name)

    @staticmethod
    def _flat(tensor: InputTensor) -> list[Any]:
        """``data`` as one list. Raises ``InvalidInput`` when it does not fill the shape."""
        flat: list[Any] = tensor.data or []
        for _ in tensor.shape[1:]:
            if flat and isinstance(flat[0], list):
                flat = [value for row in flat for value in (row if isinstance(row, list) else [row])]
        if len(flat) != math.prod(tensor.shape):
            raise InvalidInput(f"{len(flat)} values do not make the shape {tensor.shape}.", tensor.name)
        return flat


async def read_tensors(request: Request) -> Asked:
    """The body as a request. Raises ``MalformedBody`` or ``InvalidInput``."""
    body = await request.body()
    length = _header_length(request.headers.getlist(HEADER), len(body))
    asked = validate(parse_json(body[:length]), InferenceRequest)
    if "binary_data_output" in asked.parameters and not isinstance(asked.parameters["binary_data_output"], bool):
        raise InvalidInput("It must be true or false.", "binary_data_output")
    return Asked(asked, _slices(asked.inputs, memoryview(body)[length:]))


def _header_length(values: Sequence[str], size: int) -> int:
    """Bytes of JSON at the body's start. Raises ``InvalidInput``."""
    if not values:
        return size
    value = values[0]
    if len(values) > 1 or not (value.isascii() and value.isdigit() and len(value) < 12) or int(value) > size:
        raise InvalidInput("It must be the number of bytes of JSON that the body begins with.", HEADER)
    return int(value)


def _slices(inputs: Sequence[InputTensor], tail: memoryview) -> dict[str, memoryview]:
    """The binary inputs' bytes, which follow the JSON in the inputs' order. Raises ``InvalidInput``."""
    found, start = {}, 0
    for tensor in inputs:
        unknown = set(tensor.parameters) - {"binary_data_size"}
        if unknown:
            raise InvalidInput("Of an input's parameters only binary_data_size is known here.", f"inputs.{tensor.name}")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            continue
        if isinstance(size, bool) or not isinstance(size, int) or size < 0 or tensor.data is not None:
            raise InvalidInput(
                "binary_data_size must be a number of bytes, of an input without data.", f"inputs.{tensor.name}"
            )
        found[tensor.name] = tail[start : start + size]
        start += size
    if start != len(tail):
        raise InvalidInput(f"The inputs name {start} bytes of binary data; {len(tail)} follow the JSON.", "inputs")
    return found


def _texts_from_bytes(raw: memoryview, count: int, name: str) -> list[str]:
    """``count`` texts, each behind its length as 4 little-endian bytes. Raises ``InvalidInput``."""
    texts: list[str] = []
    start = 0
    while start + LENGTH.size <= len(raw) and len(texts) < count:
        end = start + LENGTH.size + cast(int, LENGTH.unpack_from(raw, start)[0])
        if end > len(raw):
            break
        try:
            texts.append(str(raw[start + LENGTH.size : end], "utf-8"))
        except UnicodeDecodeError:
            raise InvalidInput("It is not UTF-8.", f"{name}[{len(texts)}]") from None
        start = end
    if len(texts) != count or start != len(raw):
        raise InvalidInput(f"Its {len(raw)} bytes are not {count} texts, each behind its length in 4 bytes.", name)
    return texts


def _same_names(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    if sorted(given) != sorted(known):
        raise InvalidInput(f"The model takes: {', '.join(known)}; each once.", what)


def _only_flags(parameters: Mapping[str, Any], known: str, place: str) -> None:
    for name, value in parameters.items():
        if name != known or not isinstance(value, bool):
            raise InvalidInput(f"Of its parameters only {known} is known here, true or false.", place)
