"""The chat's requests, answers and events."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

from deployments.chat.conversation import Mode, Stage, Style, Support
from deployments.chat.crisis import Indicator, Outcome
from deployments.chat.help_lines import HelpLine
from deployments.chat.template import LONGEST_REPLY
from serve_app.api.free_keys import nameless
from serve_app.api.schemas import STUDENT_ID, Body

MAX_MESSAGE = 2000
CONVERSATION_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ANYONE = "anonymous"


def _says_something(text: str) -> str:
    if not text.strip() or "\x00" in text:
        raise ValueError("must have words in it, and no null characters")
    return text


Message = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE, pattern=r"\S"), AfterValidator(_says_something)]
Said = Annotated[str, Field(min_length=1, max_length=LONGEST_REPLY, pattern=r"\S"), AfterValidator(_says_something)]
UserId = Annotated[str, Field(pattern=STUDENT_ID)]
ConversationId = Annotated[str, Field(pattern=CONVERSATION_ID)]
Country = Annotated[str, Field(pattern=r"^[A-Za-z]{2}$", description="ISO code; whose help lines are shown.")]
About = Annotated[
    dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=200)] | float | bool | None],
    Field(max_length=10),
    nameless(),
]


class PastTurn(Body):
    """One message of an earlier turn; every reply of ours can come back as it was sent."""

    role: Literal["user", "assistant"]
    content: Said = Field(description=f"Of the user up to {MAX_MESSAGE} characters, of the assistant {LONGEST_REPLY}.")

    @field_validator("content")
    @classmethod
    def _as_long_as_its_role_may(cls, content: str, info: ValidationInfo) -> str:
        if info.data.get("role") == "user" and len(content) > MAX_MESSAGE:
            raise ValueError(f"of the user may have at most {MAX_MESSAGE} characters")
        return content


class EnhancedChatRequest(Body):
    """``POST /api/v1/chat/enhanced``."""

    user_id: UserId
    session_id: ConversationId | None = Field(None, description="The conversation; a new one when left out.")
    message: Message
    conversation_mode: Mode = "supportive_listening"
    preferred_style: Style | None = None
    context_metadata: About | None = Field(None, description="What your application knows; a model may be told.")
    history: list[PastTurn] | None = Field(
        None, max_length=20, description="Earlier messages, oldest first, instead of those that are stored here."
    )
    country: Country | None = None


class ChatSendRequest(Body):
    """``POST /api/v1/chat/send``."""

    message: Message
    conversation_id: ConversationId | None = Field(None, description="A new one when left out.")
    user_id: UserId = ANYONE
    conversation_mode: Mode = "supportive_listening"
    preferred_style: Style | None = None
    history: list[PastTurn] | None = Field(None, max_length=20, description="Instead of what is stored here.")
    country: Country | None = None


CHAT_REQUESTS: tuple[type[BaseModel], ...] = (EnhancedChatRequest, ChatSendRequest)


class HelpResources(BaseModel):
    """Where to turn to. ``verified``: whether the operator says that somebody has checked the lines."""

    country: str | None
    lines: list[HelpLine]
    checked: str
    verified: bool


class CrisisFinding(BaseModel):
    """``outcome``: ``crisis`` the writer, ``other`` somebody the writer is worried about, ``concern`` despair."""

    outcome: Outcome
    level: float


class Reader(BaseModel):
    """The model that answered for a role."""

    model: str
    revision: str
    fallback: bool


class EmotionReading(BaseModel):
    """What the models read in the message; None where one did not answer. ``models``: by role."""

    emotion: str | None
    emotions: dict[str, float] | None
    polarity: float | None
    models: dict[str, Reader | None]


class ChatProcessing(BaseModel):
    """How the reply came about. ``source``: a deployed model, the operator's language model, or our template;
    ``reason``: why the template wrote."""

    processing_time_seconds: float
    conversation_turn: int
    mode_adapted: bool
    techniques_applied: int
    crisis_level_detected: float
    source: Literal["model", "llm", "template"]
    model: str | None
    revision: str | None
    fallback: bool
    reason: str | None
    history_turns_used: int


class EnhancedChatAnswer(BaseModel):
    """A companion's reply. ``partial``: the parts that did not work: emotion, sentiment, generation, history."""

    message_id: str
    session_id: str
    content: str
    response_style: Style
    conversation_mode: Mode
    conversation_stage: Stage
    therapeutic_techniques: list[str]
    follow_up_suggestions: list[str]
    emotional_support_level: Support
    emotion: EmotionReading
    crisis_indicators: list[Indicator]
    crisis: CrisisFinding
    help_resources: HelpResources | None
    next_recommended_topics: list[str]
    confidence_score: float
    processing_metadata: ChatProcessing
    partial: list[str]
    disclaimer: str
    timestamp: datetime


class ChatEvent(BaseModel):
    """The data of an event of ``/chat/send``; ``token`` events first, then one ``done`` or ``error``. ``model``,
    ``revision``, ``fallback``: of who wrote; no model for the template's words, no revision for the language model's."""

    type: Literal["token", "done", "error"]
    content: str | None = None
    code: str | None = None
    request_id: str | None = None
    conversation_id: str | None = None
    source: Literal["model", "llm", "template"] | None = None
    model: str | None = None
    revision: str | None = None
    fallback: bool | None = None
    reason: str | None = None
    crisis: CrisisFinding | None = None
    help_resources: HelpResources | None = None
    partial: list[str] | None = None
    disclaimer: str | None = None


class ChatTurn(BaseModel):
    """One stored turn."""

    user: str
    assistant: str
    at: datetime


class ChatHistoryAnswer(BaseModel):
    """A conversation's last turns, oldest first; without ``conversation_id`` the user's conversations, the newest first."""

    user_id: str
    conversation_id: str | None
    turns: list[ChatTurn]
    conversations: list[str]


class ChatErased(BaseModel):
    """How many conversations were erased."""

    user_id: str
    erased: int
