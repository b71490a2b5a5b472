"""The models as the Open Inference Protocol sees them: tensors in, tensors out, parameters between."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from starlette.requests import Request

from deployments.call import Answer
from deployments.errors import EngineFault, InvalidInput
from serve_app.api.bodies import validate
from serve_app.api.calls import first_error
from serve_app.api.embeddings import check_texts
from serve_app.api.fallback import ask_model
from serve_app.api.labelling import Floats, Labelled, Labelling, Texts
from serve_app.api.names import Model, application_of, with_prefix
from serve_app.api.schemas import Body, Truncate, ZeroShotRequest
from serve_app.api.services import Services
from serve_app.api.tensor_request import Asked
from serve_app.api.tensors import Output, TensorSpec

TEXT = TensorSpec("text", "BYTES", (-1,), also=((-1, 1),))
LABELS = TensorSpec("labels", "BYTES", (-1,), also=((-1, 1),))


class Parameters(Body):
    """Parameters of every model. ``timeout``: microseconds, as Triton's clients send it."""

    binary_data_output: bool = False
    timeout: int | None = Field(None, ge=1)


class TextParameters(Parameters):
    """Parameters of models that read text."""

    truncate: Truncate = "error"


class EmbeddingParameters(TextParameters):
    """Parameters of embedding models."""

    input_type: Literal["query", "passage"] | None = None


class ZeroShotParameters(TextParameters):
    """Parameters of models that take labels."""

    multi_label: bool = False
    hypothesis_template: str = "This example is {}."


class TensorModel(abc.ABC):
    """One model. ``application``: the Serve application behind it."""

    parameters: ClassVar[type[Parameters]] = TextParameters
    inputs: tuple[TensorSpec, ...] = (TEXT,)
    outputs: tuple[TensorSpec, ...]
    key: str
    application: str

    @abc.abstractmethod
    async def infer(self, request: Request, asked: Asked, parameters: Any) -> tuple[Sequence[Output], Answer]:
        """All outputs. ``parameters``: an instance of ``self.parameters``."""

    def describe(self) -> dict[str, str]:
        """The metadata's parameters."""
        return {}


class TextModel(TensorModel):
    """A model of the catalogue; subclasses say what it makes of texts."""

    def __init__(self, services: Services, model: Model) -> None:
        self._services, self._model, self._labelling = services, model, Labelling(services)
        self.key, self.application = model.key, application_of(model)

    def describe(self) -> dict[str, str]:
        return {"task": self._model.task, "hf_id": self._model.id, "revision": self._model.revision}

    def _texts(self, asked: Asked, truncate: str) -> Texts:
        texts = asked.texts(TEXT)
        check_texts(texts, self._services.settings.max_text_chars, single=False, name=TEXT.name)
        return Texts(texts, truncate, False, TEXT.name)


class TextEmbedder(TextModel):
    """Texts to vectors."""

    parameters = EmbeddingParameters

    def __init__(self, services: Services, model: Model) -> None:
        super().__init__(services, model)
        self.outputs = (TensorSpec("embedding", "FP32", (-1, model.dimensions or -1)),)

    async def infer(self, request: Request, asked: Asked, parameters: Any) -> tuple[Sequence[Output], Answer]:
        texts = self._texts(asked, parameters.truncate)
        wanted = with_prefix(self._model, texts.texts, parameters.input_type)
        options = {"truncate": parameters.truncate}
        answer = await ask_model(self._services, request, self._model, wanted, options)
        if error := first_error(answer, texts.param):
            raise error
        return [_floats(self.outputs[0], answer.values, len(texts.texts))], answer


class TextClassifier(TextModel):
    """Texts to the model's own labels; ``scores`` has a column for each of ``labels``."""

    outputs = (TensorSpec("scores", "FP32", (-1, -1)), TensorSpec("labels", "BYTES", (-1,)))

    async def infer(self, request: Request, asked: Asked, parameters: Any) -> tuple[Sequence[Output], Answer]:
        found = await self._labelling.by_head(request, self._model, None, self._texts(asked, parameters.truncate))
        return _labelled(self.outputs, found), found.answer


class ZeroShotClassifier(TextModel):
    """Texts to labels of the client's own, which come as a second input."""

    parameters = ZeroShotParameters
    inputs = (TEXT, LABELS)
    outputs = TextClassifier.outputs

    async def infer(self, request: Request, asked: Asked, parameters: Any) -> tuple[Sequence[Output], Answer]:
        texts = self._texts(asked, parameters.truncate)
        given = parameters.model_dump(include={"truncate", "multi_label", "hypothesis_template"})
        checked = validate({"input": "", "labels": asked.texts(LABELS), **given}, ZeroShotRequest)
        wanted = (checked.labels, checked.hypothesis_template, checked.multi_label)
        found = await self._labelling.by_entailment(request, self._model, texts, *wanted)
        return _labelled(self.outputs, found), found.answer


def text_model(services: Services, model: Model) -> TextModel:
    """Raises ``InvalidInput`` for a task whose answers are no tensors."""
    kinds: dict[str, type[TextModel]] = {
        "embedding": TextEmbedder,
        "classification": TextClassifier,
        "zero-shot": ZeroShotClassifier,
    }
    if model.task not in kinds:
        raise InvalidInput(f"Model {model.key} gives no tensors (its task is {model.task}); ask it under /v1.", "key")
    return kinds[model.task](services, model)


def _labelled(specs: Sequence[TensorSpec], found: Labelled) -> list[Output]:
    scores, labels = specs
    return [Output(scores, found.scores.shape, found.scores), Output(labels, (len(found.labels),), found.labels)]


def _floats(spec: TensorSpec, values: Sequence[Any], rows: int) -> Output:
    """Rows of numbers as one tensor. Raises ``EngineFault``."""
    matrix: Floats = np.asarray(values, dtype=np.float32)
    if matrix.ndim != 2 or len(matrix) != rows or not np.isfinite(matrix).all():
        raise EngineFault("The model's answer is not a matrix of finite numbers.")
    return Output(spec, matrix.shape, matrix)
