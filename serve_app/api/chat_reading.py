"""What the models read in a chat's message: the roles ``emotion`` and ``sentiment``, side by side, and who answered."""

import asyncio
from typing import Any

from starlette.requests import Request

from deployments.chat.conversation import Reading
from serve_app.api.labelling import Labelled, Labelling, Texts
from serve_app.api.parts import Parts, detached
from serve_app.api.roles import Answered
from serve_app.api.services import Services

READING_S = 3.0
"""For emotion and sentiment, so that a model that hangs leaves time for words."""
Readers = dict[str, dict[str, Any] | None]


class MessageReader:
    """Asks both roles; one that fails is named among the parts and read as unknown."""

    def __init__(self, services: Services) -> None:
        self._services, self._labelling = services, Labelling(services)

    async def read(self, request: Request, message: str, parts: Parts) -> tuple[Reading, Readers]:
        """The reading, and by role the model that gave it."""
        emotion, sentiment = await asyncio.gather(
            parts.take("emotion", lambda: self._labels(request, "emotion", message), READING_S),
            parts.take("sentiment", lambda: self._labels(request, "sentiment", message), READING_S),
        )
        emotions = polarity = None
        if emotion is not None:
            found = zip(emotion.value.labels, emotion.value.scores[0], strict=True)
            emotions = {label: round(float(score), 4) for label, score in found}
        if sentiment is not None and sentiment.value.polarity is not None:
            polarity = round(float(sentiment.value.polarity[0]), 4)
        return Reading(emotions, polarity), {"emotion": _who(emotion), "sentiment": _who(sentiment)}

    async def _labels(self, request: Request, role: str, message: str) -> Answered[Labelled]:
        texts = Texts([message], "window", True, "message")
        return await self._labelling.by_name(detached(request), role, role, texts)


def _who(answered: Answered[Labelled] | None) -> dict[str, Any] | None:
    if answered is None:
        return None
    answer = answered.value.answer
    fallback = answered.fallback or answer.remote
    return {"model": answered.model.key, "revision": answer.revision, "fallback": fallback}
