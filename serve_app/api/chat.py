"""``/api/v1/chat``: the companion's reply whole or streamed, and the history of its conversations."""

import logging
import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from deployments.chat.conversation import (
    FOLLOW_UPS,
    confidence_of,
    support_level,
    techniques_of,
    topics_of,
)
from deployments.chat.reply_check import Withheld
from deployments.chat.template import DISCLAIMER
from deployments.errors import Cancelled, InvalidInput
from deployments.generation import Turn
from model_store.errors import MusterError
from serve_app.api.bodies import read
from serve_app.api.calls import while_connected
from serve_app.api.chat_flow import Companion
from serve_app.api.chat_known import Asked, Known, Wrote
from serve_app.api.chat_schemas import (
    ANYONE,
    CONVERSATION_ID,
    ChatErased,
    ChatEvent,
    ChatHistoryAnswer,
    ChatSendRequest,
    EnhancedChatAnswer,
    EnhancedChatRequest,
    PastTurn,
)
from serve_app.api.chat_stream import ChatStream
from serve_app.api.errors import describe_defect, responses
from serve_app.api.exchange import exchange_of
from serve_app.api.openapi import json_body, own_events
from serve_app.api.schemas import STUDENT_ID
from serve_app.api.services import Services

User = Annotated[str, Query(pattern=STUDENT_ID)]
Conversation = Annotated[str | None, Query(pattern=CONVERSATION_ID)]

_log = logging.getLogger("ray.serve.muster")


class ChatRoutes:
    """The chat's routes."""

    def __init__(self, services: Services) -> None:
        self._services, self._companion = services, Companion(services)

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        common: dict[str, Any] = {"tags": ["chat"], "responses": responses("/api/v1/")}
        for path in ("/api/v1/chat/enhanced", "/api/v1/chat/message"):
            app.add_api_route(
                path,
                self.enhanced,
                methods=["POST"],
                summary="A companion's reply",
                response_model=EnhancedChatAnswer,
                openapi_extra=json_body(EnhancedChatRequest),
                operation_id=f"chat_{path.rsplit('/', 1)[-1]}",
                **common,
            )
        app.add_api_route(
            "/api/v1/chat/send",
            self.send,
            methods=["POST"],
            summary="A companion's reply as a stream",
            openapi_extra=json_body(ChatSendRequest),
            tags=["chat"],
            responses={**responses("/api/v1/"), 200: own_events(ChatEvent)},
        )
        history = "/api/v1/chat/history"
        app.add_api_route(
            history, self.history, methods=["GET"], summary="Stored turns", response_model=ChatHistoryAnswer, **common
        )
        app.add_api_route(
            history, self.erase, methods=["DELETE"], summary="Erase stored turns", response_model=ChatErased, **common
        )

    async def enhanced(self, request: Request) -> Response:
        """Emotion-aware, with techniques, stage and follow-ups; the crisis check comes first. Not a therapist."""
        body = await read(request, EnhancedChatRequest)
        asked = Asked(
            body.user_id,
            body.session_id or _new_id("chat"),
            body.message,
            body.conversation_mode,
            body.preferred_style,
            _given(body.history),
            body.country,
            body.context_metadata,
        )
        return await while_connected(request.receive, self._whole(request, asked))

    async def send(self, request: Request) -> Response:
        """Events `token`, then `done` or `error`; an error after the first token is an event, never answer text."""
        body = await read(request, ChatSendRequest)
        asked = Asked(
            body.user_id,
            body.conversation_id or _new_id("chat"),
            body.message,
            body.conversation_mode,
            body.preferred_style,
            _given(body.history),
            body.country,
        )
        return ChatStream(self._companion, request, asked, self._services.help_lines)

    async def history(self, request: Request, user_id: User = ANYONE, conversation_id: Conversation = None) -> Response:
        """The last ten turns of a conversation, or, without its id, the user's conversations."""
        _check_whose(user_id, conversation_id)
        context = exchange_of(request).context(1)
        turns, conversations = [], []
        if conversation_id is None:
            conversations = await self._companion.history.conversations(context, user_id)
        else:
            turns = [
                {"user": t.user, "assistant": t.assistant, "at": datetime.fromtimestamp(t.at, UTC)}
                for t in await self._companion.history.of(context, user_id, conversation_id)
            ]
        body = {"user_id": user_id, "conversation_id": conversation_id, "turns": turns, "conversations": conversations}
        return Response(orjson.dumps(body), media_type="application/json")

    async def erase(self, request: Request, user_id: User = ANYONE, conversation_id: Conversation = None) -> Response:
        """Erase one conversation, or all of the user's. Erasing twice is no error."""
        _check_whose(user_id, conversation_id)
        erased = await self._companion.history.erase(exchange_of(request).context(1), user_id, conversation_id)
        return Response(orjson.dumps({"user_id": user_id, "erased": erased}), media_type="application/json")

    async def _whole(self, request: Request, asked: Asked) -> Response:
        known = await self._companion.know(request, asked)
        wrote = Wrote()
        try:
            text = [piece async for piece in self._companion.words(request, known, wrote)]
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a writer raises, nothing is sent yet and our words can take its place
            if not isinstance(error, MusterError | TimeoutError | Withheld):
                _log.error("the part generation failed: %s", describe_defect(error))
            known.parts.fail("generation")
            wrote = Wrote(reason="failed", texts=[known.template()])
            text = wrote.texts
        wrote.texts = ["".join(text)]
        await self._companion.remember(request, known, wrote)
        return Response(orjson.dumps(self._body(request, known, wrote)), media_type="application/json")

    def _body(self, request: Request, known: Known, wrote: Wrote) -> dict[str, Any]:
        techniques = techniques_of(known.mode, known.reading)
        switched = known.writes_itself
        return {
            "message_id": _new_id("msg"),
            "session_id": known.asked.conversation,
            "content": wrote.text,
            "response_style": known.style,
            "conversation_mode": known.mode,
            "conversation_stage": known.stage,
            "therapeutic_techniques": techniques,
            "follow_up_suggestions": list(FOLLOW_UPS[known.mode]),
            "emotional_support_level": support_level(known.reading, known.level, switched),
            "emotion": {
                "emotion": known.reading.emotion,
                "emotions": known.reading.emotions,
                "polarity": known.reading.polarity,
                "models": known.readers,
            },
            "crisis_indicators": known.crisis.indicators,
            "crisis": {"outcome": known.crisis.outcome, "level": known.level},
            "help_resources": self._services.help_lines.of(known.asked.country) if known.needs_help_lines else None,
            "next_recommended_topics": topics_of(known.reading),
            "confidence_score": confidence_of(
                known.reading, generated=wrote.source != "template", turns=known.turn - 1
            ),
            "processing_metadata": {
                "processing_time_seconds": round(time.monotonic() - exchange_of(request).started, 4),
                "conversation_turn": known.turn,
                "mode_adapted": known.mode != known.asked.mode,
                "techniques_applied": len(techniques),
                "crisis_level_detected": known.level,
                "source": wrote.source,
                "model": wrote.model,
                "revision": wrote.revision,
                "fallback": wrote.fallback,
                "reason": wrote.reason if wrote.source == "template" else None,
                "history_turns_used": wrote.turns_used,
            },
            "partial": known.parts.failed,
            "disclaimer": DISCLAIMER,
            "timestamp": datetime.now(UTC),
        }


def _check_whose(user_id: str, conversation_id: str | None) -> None:
    """Conversations without a user are known by their own ids alone: nobody lists or erases those of all others."""
    if user_id == ANYONE and conversation_id is None:
        raise InvalidInput("Name the conversation, or the user whose conversations are meant.", "conversation_id")


def _given(history: list[PastTurn] | None) -> list[Turn] | None:
    return None if history is None else [Turn(turn.role, turn.content) for turn in history]


def _new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(12)}"
