"""The words of the template reasoning: for each skill and observed feature what it means, and one next step.

Written for teachers, about what a student does, never about what a student is or is short of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.skills.assessment import Band
from deployments.skills.features import Skill


@dataclass(frozen=True, slots=True)
class Phrase:
    """``doing`` completes "shows strength in ..."; ``next_step`` is a suggestion of its own."""

    doing: str
    next_step: str


@dataclass(frozen=True, slots=True)
class SkillWords:
    """A skill's readable name, what it is, its phrases by feature, and suggestions that fit every student; ``stretch``: those
    for one who shows the skill already."""

    name: str
    meaning: str
    features: Mapping[str, Phrase]
    general: tuple[str, str]
    stretch: tuple[str, str]


OPENINGS: Mapping[Band, str] = {
    "emerging": "{name} is emerging: first signs of {meaning} can be seen",
    "developing": "{name} is developing: {meaning} can be seen in some situations",
    "proficient": "{name} is proficient: {meaning} can be seen regularly",
    "advanced": "{name} is advanced: {meaning} can be seen in most situations",
}
WORDS: Mapping[Skill, SkillWords] = {
    "empathy": SkillWords(
        "Empathy",
        "understanding and caring about how others feel",
        {
            "empathy_markers": Phrase(
                "putting other people's feelings into words",
                "After a story or a shared task, ask how each person may have felt and why.",
            ),
            "social_processes": Phrase(
                "talking about people and relationships",
                "Invite a conversation about how people in a story or project depend on each other.",
            ),
            "positive_sentiment": Phrase(
                "a warm and friendly tone",
                "Let classmates exchange one thing that they appreciate about each other's work.",
            ),
            "collaboration_indicators": Phrase(
                "working together with others",
                "Plan a task in pairs in which each partner holds half of what is needed.",
            ),
            "leadership_indicators": Phrase(
                "guiding a group",
                "Offer the role of making sure that everyone in the group is heard.",
            ),
        },
        (
            "Use short role plays to look at one event from two points of view.",
            "Make room for sharing in the group how a day felt.",
        ),
        (
            "Invite the student to settle a small disagreement in a story from both sides.",
            "Offer the role of welcoming somebody new into a group.",
        ),
    ),
    "problem_solving": SkillWords(
        "Problem solving",
        "working out how to reach a goal",
        {
            "problem_solving_language": Phrase(
                "talking through ways to a solution",
                "Ask for a spoken plan before the start: what is known, what is wanted, what comes first?",
            ),
            "cognitive_processes": Phrase(
                "giving reasons and drawing conclusions",
                "Use questions that ask for a because: why does this step come next?",
            ),
            "syntactic_complexity": Phrase(
                "connecting ideas in layered sentences",
                "Offer linking words such as if, because and although when ideas are explained.",
            ),
            "task_completion_rate": Phrase(
                "bringing tasks to an end",
                "Cut a larger task into steps that can each be ticked off.",
            ),
            "time_efficiency": Phrase(
                "working at a good pace",
                "Look together at which step takes the most time, and try one other way for it.",
            ),
            "retry_count": Phrase(
                "finding a working approach within few tries",
                "Before each new try, ask what will be done differently this time.",
            ),
        },
        (
            "Compare two solutions of one task and talk about what each is good for.",
            "Give open tasks that have more than one right way.",
        ),
        (
            "Let the student make up a puzzle for others and explain how it can be solved.",
            "Offer a task that needs two different ways to be combined.",
        ),
    ),
    "self_regulation": SkillWords(
        "Self-regulation",
        "steering one's own attention and effort",
        {
            "word_count": Phrase(
                "explaining thoughts at length",
                "Offer a little extra thinking time and a prompt such as: tell me more about that.",
            ),
            "avg_sentence_length": Phrase(
                "finishing a thought in full sentences",
                "Offer sentence starters that invite a full thought.",
            ),
            "distraction_resistance": Phrase(
                "staying with an activity",
                "Agree on a quiet sign and a tidy place for the next stretch of work.",
            ),
            "focus_duration": Phrase(
                "long stretches of focused work",
                "Set a visible timer for a short stretch of focus and lengthen it week by week.",
            ),
        },
        (
            "Let the student set one small goal for the lesson and look back at it at the end.",
            "Practise a short routine for starting work.",
        ),
        (
            "Let the student plan a project over several days and choose the steps.",
            "Invite the student to show others a routine that helps to stay focused.",
        ),
    ),
    "resilience": SkillWords(
        "Resilience",
        "keeping going when something is hard",
        {
            "perseverance_indicators": Phrase(
                "speaking about keeping going",
                "Name effort when it happens, and ask what helped to keep going.",
            ),
            "negative_sentiment": Phrase(
                "a calm tone when things are hard",
                "Collect sentences that help in hard moments, such as: not yet, but soon.",
            ),
            "recovery_rate": Phrase(
                "succeeding when something is tried again",
                "After a try that did not work, choose together one small change for the next one.",
            ),
            "retry_count": Phrase(
                "trying again",
                "Offer challenges that are meant to take several tries, and celebrate the tries.",
            ),
        },
        (
            "Tell stories of people who needed many tries, and talk about what they learned.",
            "Keep a journal of things that were hard once and are easy now.",
        ),
        (
            "Offer a challenge that is harder than the last one, and let the student choose when to stop.",
            "Invite the student to tell others what helps when something is hard.",
        ),
    ),
}
