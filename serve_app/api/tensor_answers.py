"""The shapes of the Open Inference Protocol's answers, for the OpenAPI document; no answer passes these models."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class ServerLive(BaseModel):
    """The process is up."""

    live: bool


class ServerReady(BaseModel):
    """The main job answers."""

    ready: bool


class ServerMetadata(BaseModel):
    """Who serves, and which extensions of the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor's name, type and shape; -1 is any number."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's tensors. ``parameters``: text that says what the protocol has no place for."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str]


class ModelReady(BaseModel):
    """The model answers."""

    name: str
    ready: bool


class OutputTensor(TensorMetadata):
    """A tensor, flat, row by row. ``data`` is missing where the bytes follow the JSON."""

    parameters: dict[str, int] | None = None
    data: list[float] | list[str] | None = None


class InferenceAnswer(BaseModel):
    """The tensors and who made them: ``parameters`` has ``revision``, ``fallback``, and what was ``truncated``."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, bool | float | str]
    outputs: list[OutputTensor]
