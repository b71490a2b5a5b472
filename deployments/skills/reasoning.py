"""Template reasoning: two or three sentences for a teacher, strengths and next steps, all taken from the evidence.

It names what was observed and nothing else: no student id or name, no diagnosis, no claim without an observation behind
it (with no observations there are no strengths to name).
"""

from collections.abc import Mapping, Sequence

from deployments.skills.assessment import Assessment, Evidence, Fused, Prediction, Reasoning
from deployments.skills.features import FeatureSet, Skill
from deployments.skills.fusion import fuse
from deployments.skills.normalization import Source
from deployments.skills.phrases import OPENINGS, WORDS, SkillWords
from deployments.skills.weights import DEFAULT_WEIGHTS, Weights

ITEMS = 2
"""How many strengths and how many suggestions a reasoning gives at most."""
MISSING: Mapping[Source, str] = {
    "linguistic_features": "what was said or written",
    "behavioral_features": "how tasks were worked on",
}
CAUTIOUS_BELOW = 0.6
SEEN_FROM, STRONG_FROM, SOME_FROM = 0.1, 0.65, 0.35
"""Below the first a value is next to nothing and no strength; from the second on a next step stretches it further."""


def explain(fused: Fused) -> Reasoning:
    """The reasoning for one skill of one student."""
    words = WORDS[fused.skill]
    observed = [item for item in fused.evidence if item.source != "ml_inference"]
    seen = [item for item in observed if item.score >= SEEN_FROM]
    strongest = sorted(seen, key=lambda item: -item.score)[:ITEMS]
    others = sorted((item for item in observed if item not in strongest), key=lambda item: item.score)
    growing = [words.features[item.feature].next_step for item in others if item.score < STRONG_FROM]
    more = words.stretch if fused.score >= STRONG_FROM else words.general
    suggestions = [*growing, *more]
    return Reasoning(
        text=" ".join(filter(None, (_opening(fused, words), _observations(observed), _caution(fused)))),
        strengths=tuple(_strength(item, words) for item in strongest),
        growth_suggestions=tuple(suggestions[:ITEMS]),
    )


def assess(
    rows: Sequence[FeatureSet],
    predictions: Sequence[Mapping[Skill, Prediction]],
    weights: Mapping[Skill, Weights] = DEFAULT_WEIGHTS,
) -> list[dict[Skill, Assessment]]:
    """Fusion and reasoning for a whole batch, in order: what the skill graph does behind the models."""
    return [
        {skill: Assessment(fused, explain(fused)) for skill, fused in fuse(row, predicted, weights).items()}
        for row, predicted in zip(rows, predictions, strict=True)
    ]


def _opening(fused: Fused, words: SkillWords) -> str:
    opening = OPENINGS[fused.band].format(name=words.name, meaning=words.meaning)
    interval = fused.interval
    return f"{opening} (score {fused.score:.2f}, likely between {interval.lower:.2f} and {interval.upper:.2f})."


def _observations(observed: Sequence[Evidence]) -> str:
    """The two observations that weigh most."""
    quoted = [_quoted(item) for item in observed[:ITEMS]]
    return f"The observations that weigh most: {' and '.join(quoted)}." if quoted else ""


def _quoted(item: Evidence) -> str:
    return item.content[0].lower() + item.content[1:].removesuffix(".")


def _caution(fused: Fused) -> str:
    missing = [MISSING[source] for source in fused.sources_missing if source in MISSING]
    alone = "" if fused.prediction else "The skill model took no part, so this rests on the observations alone."
    if missing:
        unknown = f"Nothing is known yet of {' and '.join(missing)} for this skill: read this as a first impression."
        return " ".join(filter(None, (alone, unknown)))
    if alone:
        return alone
    if fused.confidence < CAUTIOUS_BELOW:
        return "Few observations stand behind this, so read it as a first impression."
    return ""


def _strength(item: Evidence, words: SkillWords) -> str:
    """How a strength is put depends on how strong it is, so that low values are not praised as high ones."""
    doing = words.features[item.feature].doing
    if item.score >= STRONG_FROM:
        return f"Shows strength in {doing}."
    return f"Shows some strength in {doing}." if item.score >= SOME_FROM else f"Takes first steps in {doing}."
