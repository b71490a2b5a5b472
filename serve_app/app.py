"""The composition root: the whole topology on one screen. ``serve_config.yaml`` names these builders.

One application per model, one for the skill graph, one for the journal analysis, one for the gateway. Builders are pure:
they read their typed arguments and bind; nothing is loaded here. (No ``from __future__ import annotations``: Serve would no
longer see the arguments' types.)
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.journal.replica import JournalAnalysis
from deployments.replica import GeneratorReplica, ModelReplica
from deployments.skills.graph import Fusion, Inference, Reasoning
from model_store.lock import Precision
from serve_app.gateway import Gateway


class _Args(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GeneratorArgs(_Args):
    """``model``: a key of the catalogue; it is also the application's and the deployment's name."""

    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Catalogue key.")]


class ModelArgs(GeneratorArgs):
    """``precision``: int8 and fp16 only start where the model's accuracy gate passed (`muster models quantize`)."""

    precision: Precision = "fp32"


class SkillArgs(_Args):
    """The skill graph takes no arguments; its models are those of the store's champion."""


class JournalArgs(_Args):
    """The journal analysis takes no arguments; what models said of the entries comes with each call."""


class GatewayArgs(_Args):
    """The gateway takes no arguments; its settings come from the environment (``MUSTER_*``)."""


def model(args: ModelArgs) -> Application:
    """A model application: one deployment that carries the model's own name."""
    args = ModelArgs.model_validate(args)
    return _deployment(_internal(ModelReplica), args.model).bind(args.model, args.precision)


def generator(args: GeneratorArgs) -> Application:
    """The same for a model that writes text."""
    args = GeneratorArgs.model_validate(args)
    return _deployment(_internal(GeneratorReplica), args.model).bind(args.model)


def skills(args: SkillArgs) -> Application:
    """The skill graph: inference -> evidence fusion -> reasoning."""
    SkillArgs.model_validate(args)
    inference = _deployment(Inference, "inference").bind()
    fusion = _deployment(Fusion, "fusion").bind(inference)
    return _deployment(_internal(Reasoning), "reasoning").bind(fusion)


def journal(args: JournalArgs) -> Application:
    """Statistics over journals, away from the gateways: they need packages of a hundred megabytes."""
    JournalArgs.model_validate(args)
    return _deployment(_internal(JournalAnalysis), "journal").bind()


def gateway(args: GatewayArgs) -> Application:
    """The HTTP front door."""
    GatewayArgs.model_validate(args)
    return _deployment(serve.ingress()(Gateway), "gateway").bind()


def _deployment(cls: type, name: str) -> Any:
    return serve.deployment(cls, name=name)


def _internal(cls: type) -> type:
    """``cls`` with an HTTP face that refuses: HAProxy mode opens a port for every application, routed or not."""

    async def refuse(self: Any, request: Request) -> Response:
        error = {"message": "This is not a public address; ask the gateway.", "type": "not_found_error"}
        return JSONResponse({"error": error}, status_code=404)

    # Logs and the dashboard show the class by this name.
    return type(cls.__name__, (cls,), {"__call__": refuse, "__module__": cls.__module__, "__doc__": cls.__doc__})
