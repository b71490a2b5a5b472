"""How a model comes to labels for texts: by its own head, by entailment, or by the likeness of texts and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from deployments import label_sets, label_similarity
from deployments.call import Answer
from deployments.errors import EngineFault, InvalidInput
from model_store.light_heads import head_address
from serve_app.api.calls import first_error
from serve_app.api.exchange import exchange_of
from serve_app.api.fallback import ask_model
from serve_app.api.names import Model, is_head, with_prefix
from serve_app.api.roles import Answered, by_role
from serve_app.api.services import Services

Floats = NDArray[np.float32]

HEAD_DIGITS = 12
"""Of a light head's digest, in the revision of its answers."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as the client sent them in the field ``name``. ``single``: as one string."""

    texts: Sequence[str]
    truncate: str
    single: bool
    name: str = "input"

    @property
    def param(self) -> str:
        """What errors call an input; ``{}`` is its index."""
        return self.name if self.single else f"{self.name}[{{}}]"


@dataclass(frozen=True, slots=True)
class Labelled:
    """``scores``: (texts, labels). ``polarity``: (texts,), for the role ``sentiment``. ``tokens``: read in all."""

    labels: Sequence[str]
    scores: Floats
    answer: Answer
    polarity: Floats | None = None

    @property
    def tokens(self) -> int:
        return int(sum(self.answer.costs))

    @property
    def truncated(self) -> list[dict[str, int]]:
        """What was cut off texts; descriptions of labels, which may follow them in the call, are our own."""
        return [dict(cut) for cut in self.answer.truncated if cut["index"] < len(self.scores)]


class Labelling:
    """Asks the fleet for labels."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def by_name(self, request: Request, name: str, role: str | None, asked: Texts) -> Answered[Labelled]:
        """Labels of the model of this name, or for a role of who plays it, by whatever it comes to labels. Raises
        ``InvalidInput`` for one that does not classify."""

        async def ask(model: Model) -> Labelled:
            if model.task == "classification":
                return await self.by_head(request, model, role, asked)
            if role is not None and model.task == "embedding":
                return await self.by_likeness(request, model, role, asked)
            raise wrong_task(model, "classify", model.task)

        return await by_role(self._services, exchange_of(request), name, ask)

    async def by_head(self, request: Request, model: Model, role: str | None, asked: Texts) -> Labelled:
        """A classifier's own labels, or those of ``role``. Raises the first text's error."""
        answer = await self._classified(request, model, asked)
        labels, scores = answer.details.get("labels", ()), _matrix(answer, len(asked.texts))
        if scores.shape[1] != len(labels):
            raise EngineFault(f"{model.key} has {len(labels)} labels and gave {scores.shape[1]} scores.")
        return Labelled(labels, scores, answer) if role is None else _in_role(model, role, labels, scores, answer)

    async def with_heads(
        self, request: Request, base: Model, heads: Mapping[str, Model], asked: Texts
    ) -> tuple[Answer, Floats, Mapping[str, Labelled]]:
        """Embeddings (texts, dimensions) of a model without prefixes, and by role what light heads on it say: one pass
        for all. Raises the first text's error."""
        addresses = [head_address(head.key, head.revision) for head in heads.values()]
        options = {"truncate": asked.truncate, "heads": addresses}
        answer = await self._call(request, base, asked.texts, options, asked.param)
        edges = np.cumsum([base.dimensions or 0, *(len(head.labels) for head in heads.values())])
        matrix = _matrix(answer, len(asked.texts))
        if matrix.shape[1] != edges[-1]:
            raise EngineFault(f"{base.key} and its heads gave {matrix.shape[1]} numbers instead of {edges[-1]}.")
        embeddings, *scores = np.split(matrix, edges[:-1], axis=1)
        found = {
            role: _in_role(head, role, head.labels, rows, _of_head(head, answer))
            for (role, head), rows in zip(heads.items(), scores, strict=True)
        }
        return answer, embeddings, found

    async def by_likeness(self, request: Request, model: Model, role: str, asked: Texts) -> Labelled:
        """The labels of ``role`` by their descriptions, which an embedding model reads together with the texts."""
        descriptions = label_similarity.DESCRIPTIONS[role]
        extra = [text for texts in descriptions.values() for text in texts]
        answer, vectors = await self._embedded(request, model, asked, extra, "model")
        labels = label_similarity.label_vectors(list(descriptions.values()), vectors[len(asked.texts) :])
        cosines = label_similarity.similarities(vectors[: len(asked.texts)], labels)
        found = label_similarity.scores(cosines)
        names = tuple(descriptions)
        polarity = label_sets.polarity(names, found) if role == "sentiment" else None
        return Labelled(names, found, answer, polarity)

    async def by_given_likeness(
        self, request: Request, model: Model, asked: Texts, labels: Sequence[str], template: str, multi_label: bool
    ) -> Labelled:
        """The client's own labels, by the likeness of a text and the hypothesis."""
        hypotheses = [template.replace("{}", label) for label in labels]
        answer, vectors = await self._embedded(request, model, asked, hypotheses, "labels[{}]")
        cosines = label_similarity.similarities(vectors[: len(asked.texts)], vectors[len(asked.texts) :])
        return Labelled(labels, label_similarity.scores(cosines, multi_label=multi_label), answer)

    async def by_entailment(
        self, request: Request, model: Model, asked: Texts, labels: Sequence[str], template: str, multi_label: bool
    ) -> Labelled:
        """The client's own labels, by whether a text entails the hypothesis."""
        common = {"labels": list(labels), "hypothesis_template": template, "multi_label": multi_label}
        items = [{"text": text, **common} for text in asked.texts]
        answer = await self._call(request, model, items, {"truncate": asked.truncate}, asked.param)
        scores = _matrix(answer, len(items))
        if scores.shape[1] != len(labels):
            raise EngineFault(f"{model.key} was asked for {len(labels)} labels and gave {scores.shape[1]}.")
        return Labelled(labels, scores, answer)

    async def _classified(self, request: Request, model: Model, asked: Texts) -> Answer:
        """With the model's ``labels`` among the details."""
        options = {"truncate": asked.truncate}
        if not is_head(model):
            return await self._call(request, model, asked.texts, options, asked.param)
        head = head_address(model.key, model.revision)
        answer = await self._call(request, model, asked.texts, options | {"head": head}, asked.param)
        return _of_head(model, answer)

    async def _embedded(
        self, request: Request, model: Model, asked: Texts, extra: Sequence[str], extra_param: str
    ) -> tuple[Answer, Floats]:
        """Embeddings of the texts and, after them, of ``extra``."""
        texts = with_prefix(model, [*asked.texts, *extra], "query")
        answer = await self._call(request, model, texts, {"truncate": asked.truncate}, None)
        if answer.errors:
            index = min(answer.errors)
            ours = index >= len(asked.texts)
            param = extra_param.format(index - len(asked.texts)) if ours else asked.param.format(index)
            error = first_error(answer, param)
            assert error is not None
            raise error
        return answer, _matrix(answer, len(texts))

    async def _call(
        self, request: Request, model: Model, items: Sequence[object], options: Mapping[str, Any], param: str | None
    ) -> Answer:
        answer = await ask_model(self._services, request, model, items, options)
        if param is not None and (error := first_error(answer, param)):
            raise error
        return answer


def _in_role(model: Model, role: str, labels: Sequence[str], scores: Floats, answer: Answer) -> Labelled:
    """What a model's own labels mean in a role. Raises ``EngineFault``."""
    try:
        found = label_sets.canonical(role, labels, scores)
    except label_sets.ForeignLabels as error:
        raise EngineFault(f"{model.key} cannot play the role {role}: {error}") from None
    polarity = label_sets.polarity(labels, scores) if role == "sentiment" else None
    return Labelled(label_sets.LABELS[role], found, answer, polarity)


def _of_head(head: Model, answer: Answer) -> Answer:
    """The base model's answer as the head's: its labels among the details, the revision that of both, ``<base>+<head>``."""
    revision = f"{answer.revision}+{head.revision[:HEAD_DIGITS]}"
    return replace(answer, revision=revision, details={"labels": head.labels})


def _matrix(answer: Answer, rows: int) -> Floats:
    """The answer's values as (inputs, ...). Raises ``EngineFault``."""
    matrix = np.asarray(answer.values, dtype=np.float32)
    if matrix.ndim != 2 or len(matrix) != rows or not np.isfinite(matrix).all():
        raise EngineFault("The model's answer is not a matrix of finite numbers.")
    return matrix


def wrong_task(model: Model, does: str, task: str) -> InvalidInput:
    """The refusal of a model that was built for something else."""
    return InvalidInput(f"Model {model.key} does not {does} (its task is {task}).", "model")
