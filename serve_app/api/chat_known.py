"""What a chat's reply depends on: the request, what was found in it, what was said before, who wrote."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deployments.chat import template
from deployments.chat.conversation import USUAL_STYLE, Mode, Reading, Stage, Style, is_falling, stage_of
from deployments.chat.crisis import SWITCH, Crisis
from deployments.chat.crisis_course import Said, told
from deployments.chat.history import Held
from deployments.generation import Turn
from serve_app.api.chat_reading import Readers
from serve_app.api.parts import Parts

Source = Literal["model", "llm", "template"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of either route. ``about``: what the application told, JSON; ``given``: history in the request."""

    user: str
    conversation: str
    message: str
    mode: Mode
    style: Style | None
    given: Sequence[Turn] | None
    country: str | None
    about: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Known:
    """What is known before words are made. ``found``: in this message itself; ``crisis``: what it counts as after what
    was said before; ``before``: what a model may be told."""

    asked: Asked
    found: Crisis
    crisis: Crisis
    reading: Reading
    before: tuple[Turn, ...]
    turn: int
    stage: Stage
    mode: Mode
    style: Style
    level: float
    parts: Parts
    readers: Readers
    held: Held

    @property
    def writes_itself(self) -> bool:
        """Whether the answer is our own words, whatever models there are."""
        return self.crisis.stops_generation or self.mode == "crisis_support"

    @property
    def needs_help_lines(self) -> bool:
        return self.crisis.needs_help_lines or self.mode == "crisis_support"

    def template(self) -> str:
        return template.reply(self.mode, self.style, self.stage, self.reading.emotion, self.turn, self.crisis)


@dataclass(slots=True)
class Wrote:
    """Who wrote, filled in while the words come. ``reason``: why the template did."""

    source: Source = "template"
    model: str | None = None
    revision: str | None = None
    fallback: bool = False
    reason: str | None = None
    turns_used: int = 0
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts).strip()


def known_of(
    asked: Asked,
    found: Crisis,
    counts: Crisis,
    reading: Reading,
    held: Held,
    before: Sequence[Said],
    parts: Parts,
    readers: Readers,
) -> Known:
    """``counts``: what the message counts as. A grave message's turn is counted by the history in its request alone."""
    turn = 1 + (sum(each.role == "user" for each in asked.given) if asked.given is not None else len(before))
    falling = is_falling([each.polarity for each in held], reading.polarity)
    level = counts.level(strong_sadness=reading.strong_sadness, falling=falling)
    grave = counts.outcome == "crisis" or level > SWITCH
    mode: Mode = "crisis_support" if grave else asked.mode
    since = time.time() - held[-1].at if held and asked.given is None else None
    style = asked.style or USUAL_STYLE[mode]
    stage = stage_of(asked.message, turn, mode, since)
    return Known(asked, found, counts, reading, told(before), turn, stage, mode, style, level, parts, readers, held)
