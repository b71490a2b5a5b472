"""OpenAI's fields that would change the answer and are not supported here.

They may only say that they are not used; else they are refused with the reason, never ignored.
"""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from deployments.errors import InvalidInput
from serve_app.api.schemas import Body


def _off(value: bool) -> bool:
    if value:
        raise ValueError("may only be false")
    return value


Off = Annotated[bool, AfterValidator(_off), WithJsonSchema({"type": "boolean", "const": False})]
"""Only ``false``. A literal would take 0 for it too."""

_TOOLS = "no tools are called here; write what the model should know into messages"
_PROBABILITIES = "the probabilities of tokens are not kept"
_TEXT_ONLY = "models here read and write text only"
WHY = {
    "n": "a request has one answer; send it several times for more",
    "best_of": "a request has one answer, and it is not chosen from several",
    "echo": "the answer is the new text only; put the prompt in front of it yourself",
    "suffix": "models here only continue a text, they do not fill gaps",
    "logprobs": _PROBABILITIES,
    "top_logprobs": _PROBABILITIES,
    "logit_bias": "token numbers differ from model to model, so that a bias would hit other words than you mean",
    "tools": _TOOLS,
    "tool_choice": _TOOLS,
    "parallel_tool_calls": _TOOLS,
    "functions": _TOOLS,
    "function_call": _TOOLS,
    "response_format": "the answer is plain text and no other form of it is enforced; ask for the form in messages",
    "modalities": _TEXT_ONLY,
    "audio": _TEXT_ONLY,
    "prediction": "an expected answer makes nothing faster here; leave it out",
    "web_search_options": "nothing is looked up; write what the model should know into messages",
    "reasoning_effort": "models here have no setting for it",
    "verbosity": "models here have no setting for it; use max_tokens or ask for short answers",
    "store": "answers are not stored",
    "metadata": "answers are not stored, and metadata with them neither",
    "stream_options.include_obfuscation": "chunks are not padded",
}
"""Unsupported fields and the reason."""


def _give_reasons(schema: dict[str, Any]) -> None:
    for name, field in schema["properties"].items():
        if why := WHY.get(name):
            field["description"] = f"Not supported: {why}."


class Generative(Body):
    """Base of requests with OpenAI's fields: says why an unsupported one is refused."""

    model_config = ConfigDict(json_schema_extra=_give_reasons)

    @model_validator(mode="wrap")
    @classmethod
    def _gives_reasons(cls, value: Any, handler: ModelWrapValidatorHandler["Generative"]) -> "Generative":
        try:
            return handler(value)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False, include_context=False):
                for path in (".".join(map(str, problem["loc"][:depth])) for depth in (1, 2)):
                    if why := WHY.get(path):
                        raise InvalidInput(f"{path} is not supported: {why}.", path) from None
            raise
