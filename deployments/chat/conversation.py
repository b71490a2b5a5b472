"""How a conversation goes on: its stage, the techniques of each mode, follow-ups, topics, how much support is due.

Plain rules over what is known: the mode asked for, the turn, the message's emotion and polarity, a few words of it. Words
that are shown are our own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Mode = Literal[
    "supportive_listening",
    "therapeutic_guidance",
    "cognitive_reframing",
    "mindfulness_coaching",
    "goal_setting",
    "crisis_support",
    "reflection_facilitation",
    "emotional_processing",
]
Style = Literal["empathetic", "analytical", "encouraging", "challenging", "reflective", "practical", "creative"]
Stage = Literal["opening", "exploration", "insight_building", "action_planning", "closure", "follow_up"]
Support = Literal["low", "moderate", "high", "crisis"]
MODES: tuple[Mode, ...] = get_args(Mode)
STYLES: tuple[Style, ...] = get_args(Style)

USUAL_STYLE: Mapping[Mode, Style] = {
    "supportive_listening": "empathetic",
    "therapeutic_guidance": "reflective",
    "cognitive_reframing": "analytical",
    "mindfulness_coaching": "practical",
    "goal_setting": "encouraging",
    "crisis_support": "empathetic",
    "reflection_facilitation": "reflective",
    "emotional_processing": "empathetic",
}
"""Where the client names no style."""
TECHNIQUES: Mapping[Mode, tuple[str, ...]] = {
    "supportive_listening": ("active_listening", "validation"),
    "therapeutic_guidance": ("open_questions", "reflective_listening"),
    "cognitive_reframing": ("thought_examination", "alternative_views"),
    "mindfulness_coaching": ("grounding", "breathing"),
    "goal_setting": ("small_steps", "scaling_question"),
    "crisis_support": ("safety_first", "signposting"),
    "reflection_facilitation": ("open_questions", "meaning_making"),
    "emotional_processing": ("naming_emotions", "validation"),
}
FOLLOW_UPS: Mapping[Mode, tuple[str, ...]] = {
    "supportive_listening": ("What was the hardest part?", "Who else knows about this?", "What would feel good now?"),
    "therapeutic_guidance": ("When did you first notice this?", "What have you tried so far?", "What helped a little?"),
    "cognitive_reframing": (
        "What speaks for that thought, and what against it?",
        "What would you tell a friend who thought so?",
        "How else could one see it?",
    ),
    "mindfulness_coaching": (
        "What do you notice in your body now?",
        "Shall we take three slow breaths?",
        "What are five things you can see?",
    ),
    "goal_setting": (
        "What would be one small step this week?",
        "How will you know that you are there?",
        "What might get in the way?",
    ),
    "crisis_support": (
        "Are you somewhere safe right now?",
        "Who could be with you today?",
        "Can you call one of the lines above?",
    ),
    "reflection_facilitation": (
        "What does this say about what matters to you?",
        "What has changed since last time?",
        "What would you keep of it?",
    ),
    "emotional_processing": (
        "What name would you give this feeling?",
        "Where do you feel it?",
        "What might it be asking for?",
    ),
}
_TOPICS: Mapping[str, tuple[str, ...]] = {
    "anger": ("boundaries", "what was unfair", "letting off steam safely"),
    "disgust": ("values", "distance from what repels you"),
    "fear": ("what you can influence", "calming the body", "support around you"),
    "joy": ("what made this possible", "sharing it", "keeping more of it"),
    "sadness": ("loss and what remains", "people who are close", "small comforts"),
    "surprise": ("what you expected", "what is new now"),
    "neutral": ("your day", "what you look forward to"),
}
_CLOSING = re.compile(
    r"\b(?:bye|goodbye|good night|talk (?:later|soon)|that'?s all|thanks?(?: you)?[.! ]*$|see you)", re.I
)
_PLANNING = re.compile(
    r"\b(?:what (?:should|can|could) i do|next step|my plan|i will try|how do i start|set a goal)\b", re.I
)
RETURN_S = 30 * 60
"""A conversation that goes on after so long begins with a follow-up."""
FALL, LOW = 0.3, -0.2
"""A polarity that fell by so much over the last turns, to below so much, is a falling mood."""
STRONG = 0.7
"""An emotion's score from which it is strong."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the models read in a message; None where a model did not answer. ``emotions``: label to score."""

    emotions: Mapping[str, float] | None = None
    polarity: float | None = None

    @property
    def emotion(self) -> str | None:
        """The likeliest emotion."""
        return max(self.emotions, key=self.emotions.__getitem__) if self.emotions else None

    @property
    def strong_sadness(self) -> bool:
        return bool(self.emotions) and (self.emotions or {}).get("sadness", 0.0) >= STRONG


def stage_of(message: str, turn: int, mode: Mode, since_s: float | None) -> Stage:
    """``turn``: from 1; ``since_s``: since the turn before, where known."""
    if turn > 1 and since_s is not None and since_s >= RETURN_S:
        return "follow_up"
    if turn > 1 and _CLOSING.search(message[-200:]):
        return "closure"
    if turn == 1:
        return "opening"
    if turn >= 7 or mode == "goal_setting" or _PLANNING.search(message[:2000]):
        return "action_planning"
    return "exploration" if turn <= 3 else "insight_building"


def is_falling(polarities: Sequence[float | None], now: float | None) -> bool:
    """Whether the mood fell over the last three turns that were read, this one included."""
    known = [value for value in (*polarities, now) if value is not None][-3:]
    return (
        len(known) == 3 and known[0] - known[-1] >= FALL and known[-1] <= LOW and known == sorted(known, reverse=True)
    )


def support_level(reading: Reading, level: float, switched: bool) -> Support:
    """How much support is due: the crisis level first, then strong emotions and the polarity."""
    if switched:
        return "crisis"
    strong = max(((reading.emotions or {}).get(name, 0.0) for name in ("sadness", "fear", "anger")), default=0.0)
    if level >= 0.4 or strong >= STRONG or (reading.polarity is not None and reading.polarity <= -0.6):
        return "high"
    if strong >= 0.4 or (reading.polarity is not None and reading.polarity < LOW):
        return "moderate"
    return "low"


def techniques_of(mode: Mode, reading: Reading) -> list[str]:
    """The mode's techniques; strong negative emotions are validated before anything else."""
    first = ["validation"] if support_level(reading, 0.0, False) == "high" else []
    return list(dict.fromkeys([*first, *TECHNIQUES[mode]]))


def topics_of(reading: Reading) -> list[str]:
    """What to speak of next, by the emotion."""
    return list(_TOPICS[reading.emotion or "neutral"])


def confidence_of(reading: Reading, *, generated: bool, turns: int) -> float:
    """0.5 x the likeliest emotion's score (0 without a reading) + 0.3 x the source (1 for generated words, 0.6 for the
    template's) + 0.2 x the context (earlier turns / 5, at most 1)."""
    source, context = 1.0 if generated else 0.6, min(turns / 5, 1.0)
    read = max(reading.emotions.values()) if reading.emotions else 0.0
    return round(0.5 * read + 0.3 * source + 0.2 * context, 3)
