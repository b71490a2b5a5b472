"""The numbers that a request may ask for."""

from deployments.errors import InvalidInput
from deployments.generation import STOPS_MAX, GenerationRequest


def require_in_range(request: GenerationRequest) -> None:
    """Raises ``InvalidInput`` for a number that is out of its range."""
    bounds: list[tuple[str, float, float, float]] = [
        ("max_tokens", 1 if request.max_tokens is None else request.max_tokens, 1, 2**31),
        ("min_tokens", request.min_tokens, 0, 2**31),
        ("temperature", request.temperature, 0, 2),
        ("top_p", request.top_p, 0, 1),
        ("frequency_penalty", request.frequency_penalty, -2, 2),
        ("presence_penalty", request.presence_penalty, -2, 2),
        ("seed", request.seed or 0, -(2**63), 2**63 - 1),
    ]
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise InvalidInput(f"It must be from {least} to {most}.", name)
    if len(request.stop) > STOPS_MAX or not all(request.stop):
        raise InvalidInput(f"It must be up to {STOPS_MAX} texts, none of them empty.", "stop")
