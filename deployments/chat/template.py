"""Replies in our own words: for a crisis always, and wherever no model writes. No text of the client's is in them."""

from collections.abc import Mapping

from deployments.chat.conversation import FOLLOW_UPS, Mode, Stage, Style
from deployments.chat.crisis import Crisis
from deployments.chat.reply_check import LONGEST

DISCLAIMER = (
    "This is a program, not a person, a therapist or an emergency service; it makes no diagnosis and can be wrong."
)
_HEARD: Mapping[str, str] = {
    "anger": "That sounds infuriating, and it makes sense that it stays with you.",
    "disgust": "That clearly goes against the grain for you.",
    "fear": "That sounds worrying, and it is understandable to feel on edge.",
    "joy": "It is good to hear that something feels right.",
    "sadness": "That sounds heavy, and I am sorry that you carry it.",
    "surprise": "That must have been unexpected.",
    "neutral": "Thank you for telling me.",
}
_MODE: Mapping[Mode, str] = {
    "supportive_listening": "You can take your time here.",
    "therapeutic_guidance": "Let us look at it together, step by step.",
    "cognitive_reframing": "A thought can feel like a fact; sometimes a second look shows more than one side.",
    "mindfulness_coaching": "Let us slow down for a moment: breathe in for four counts, and out for six.",
    "goal_setting": "A small step that you can really take is worth more than a large one that waits.",
    "crisis_support": "Your safety comes first.",
    "reflection_facilitation": "Putting it into words is already a way of looking at it.",
    "emotional_processing": "Feelings come with a reason, and they change when they are given room.",
}
_STYLE: Mapping[Style, str] = {
    "empathetic": "I am listening.",
    "analytical": "It may help to take it apart into what happened, what you thought and what you felt.",
    "encouraging": "You have taken a step by writing this.",
    "challenging": "May I ask you something that is not quite comfortable?",
    "reflective": "I wonder what this means to you.",
    "practical": "Let us find one thing that helps today.",
    "creative": "If this were a picture, there might be more in it than one sees at first.",
}
_STAGE: Mapping[Stage, str] = {
    "closure": "Thank you for this conversation; you can come back to it whenever you like.",
    "follow_up": "It is good that you are back.",
}
_CRISIS = (
    "I am very glad that you told me. What you describe is serious, and you do not have to be alone with it. Please contact "
    "one of the help lines below now, or the emergency number if you are in danger; somebody there will listen. If you can, "
    "stay with somebody you trust and move away from anything you could hurt yourself with."
)
_OTHER = (
    "It is good that you take this seriously. Stay with the person if you can, ask openly and listen without judging, and do "
    "not promise to keep it secret. The help lines below advise you too; if somebody is in danger now, call the emergency "
    "number."
)
_STILL = (
    "I have not forgotten what you told me, and it still matters most. You do not have to carry it alone: please contact one "
    "of the help lines below, or the emergency number if you are in danger, and be with somebody if you can. If you are safe "
    "now, you can tell me so in plain words."
)
_STILL_OTHER = (
    "What you told me about them still matters most. Please do not carry it alone: the help lines below advise you too, and "
    "if somebody is in danger now, call the emergency number. If everybody is safe now, you can tell me so in plain words."
)
_CLEARED = (
    "I am relieved to read that, and thank you for telling me. Please stay with somebody for a while if you can. If it comes "
    "back, the help lines below are there at any hour, and you can write here as well."
)
_CONCERN = "If it gets too much, the help lines below are there at any hour, for talking too."
LONGEST_REPLY = LONGEST + 1 + len(_CONCERN)
"""Characters of a whole reply, a model's with our hint."""


def reply(mode: Mode, style: Style, stage: Stage, emotion: str | None, turn: int, crisis: Crisis) -> str:
    """A whole reply; the same for the same arguments."""
    lasts = crisis.when == "lasting"
    if crisis.when == "cleared":
        return _CLEARED
    if crisis.outcome == "other":
        return _STILL_OTHER if lasts else _OTHER
    if mode == "crisis_support":
        return _STILL if lasts else _CRISIS
    heard = _HEARD[emotion or "neutral"]
    if stage == "closure":
        return with_concern(f"{heard} {_STAGE[stage]}", crisis)
    question = FOLLOW_UPS[mode][(turn - 1) % len(FOLLOW_UPS[mode])]
    parts = (_STAGE.get(stage), heard, _STYLE[style], _MODE[mode], question)
    return with_concern(" ".join(part for part in parts if part), crisis)


def with_concern(text: str, crisis: Crisis) -> str:
    """A reply, with a hint at the help lines where despair was found."""
    return f"{text} {_CONCERN}" if crisis.needs_help_lines else text
