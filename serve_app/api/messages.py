"""The messages of a chat, in OpenAI's shape: text only."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from deployments.errors import InvalidInput
from deployments.generation import Turn
from serve_app.api.schemas import Body

MAX_MESSAGES = 2048
Speaker = Literal["system", "developer", "user", "assistant"]
_ANSWER_FIELDS = ("refusal", "annotations", "audio", "function_call", "tool_calls")


class TextPart(Body):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Message(Body):
    """One message. The fields after ``content`` are those of an SDK's own answers, which are sent back as they came."""

    role: Speaker = Field(description="`developer` is the newer name of `system`.")
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=MAX_MESSAGES)] = Field(
        description="A text, or parts of text, which are joined by line breaks."
    )
    refusal: None = None
    annotations: None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None

    def turn(self) -> Turn:
        """The message as the engine takes it."""
        role = "system" if self.role == "developer" else self.role
        text = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        return Turn(role, text)


def _messages(value: Any) -> Any:
    """Says which message is wrong and why, which a union's own errors do not."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_MESSAGES:
        raise InvalidInput(f"messages must be a list of 1 to {MAX_MESSAGES} messages.", "messages")
    for index, message in enumerate(value):
        _check(message, f"messages[{index}]")
    return value


def _check(message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise InvalidInput("A message is an object with role and content.", path)
    if message.get("role") not in get_args(Speaker):
        raise InvalidInput(
            f"role must be one of {', '.join(get_args(Speaker))}; tools are not supported.", f"{path}.role"
        )
    if "name" in message:
        raise InvalidInput("Models here know no names of speakers; write the name into the text.", f"{path}.name")
    for field in _ANSWER_FIELDS:
        if message.get(field) is not None:
            raise InvalidInput("Messages are text only: no tools, no sound, no other content.", f"{path}.{field}")
    content = message.get("content")
    if isinstance(content, list) and 1 <= len(content) <= MAX_MESSAGES:
        for number, part in enumerate(content):
            _check_part(part, f"{path}.content[{number}]")
    elif not isinstance(content, str):
        raise InvalidInput("content must be a text or a list of text parts.", f"{path}.content")


def _check_part(part: Any, path: str) -> None:
    if not isinstance(part, dict) or part.get("type") != "text":
        raise InvalidInput("Only parts of the type text are read: models here neither see nor hear.", path)
    if not isinstance(part.get("text"), str):
        raise InvalidInput("A text part has its text in the field text.", f"{path}.text")


Messages = Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES), BeforeValidator(_messages)]
