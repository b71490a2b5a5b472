"""A model's answer, from here or, while it cannot be had here, from the remote provider's model of the same name."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from deployments.call import Answer
from deployments.errors import ModelNotReady
from serve_app.api.calls import call_model, while_connected
from serve_app.api.exchange import exchange_of
from serve_app.api.names import Model, application_of
from serve_app.api.roles import CANNOT_ANSWER, state_of, while_ready
from serve_app.api.services import Services
from serve_app.remote.fallback import RemoteFallback


async def ask_model(
    services: Services, request: Request, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]
) -> Answer:
    """Run inputs on a model. An exact name may be answered remotely too: it is the same model.

    Raises what ``call_model`` raises, and ``RemoteFailed`` when the provider was asked and failed.
    """
    application, remote = application_of(model), services.remote
    if remote is None or not remote.knows(model):
        return await call_model(services, request, application, inputs, options)
    try:
        state = state_of(await services.fleet.states(), model)
        if state.state != "ready":
            raise ModelNotReady(model.key, state.reason or "it is still loading")
        return await while_ready(services, model, call_model(services, request, application, inputs, options))
    except CANNOT_ANSWER as local:
        if not remote.offers(model, options):
            raise
        if not remote.willing(model):
            raise resting(remote, model, local) from None
        deadline = exchange_of(request).deadline
        return await while_connected(request.receive, remote.ask(model, inputs, options, deadline))


def resting(remote: RemoteFallback, model: Model, local: Exception) -> Exception:
    """The local error, and why nobody asked the provider."""
    if not isinstance(local, ModelNotReady):
        return local
    breaker = remote.breaker(model)
    wait = min(max(1.0, breaker.retry_after_s), local.retry_after_s)
    return ModelNotReady(model.key, f"{local.reason}; the remote provider rests: {breaker.reason}", wait)
