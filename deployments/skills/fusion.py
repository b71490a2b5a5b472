"""Evidence fusion: the model's estimate and the normalised observations become one score with its reasons.

    score = clip( sum(w_s x source_s) / sum(w_s) x (1 + w_conf x (confidence - .5)), 0, 1 )

over the sources in use. The division matters: the three source weights sum to .90, and without it a perfect student
could not pass .945. A source without data gives its weight to the others in proportion and is reported as missing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from deployments.skills.assessment import Evidence, Fused, Prediction, band_of
from deployments.skills.confidence import FLOOR, combine, interval_around, parts_of
from deployments.skills.evidence import Observation, feature_evidence, model_evidence, observations, top_evidence
from deployments.skills.features import FeatureSet, Skill
from deployments.skills.normalization import RULES, SOURCES, Source
from deployments.skills.weights import DEFAULT_WEIGHTS, Weights

NEUTRAL = 0.5
NO_OBSERVATIONS = "None of the observations behind this skill's evidence is available; the score is the model's alone."
NO_WEIGHT = "No source with a weight above zero has data; the score is the neutral 0.5."
ONE_GROUP = "Only one kind of observation is available; the confidence is limited."
DISAGREEMENT = "The sources disagree; look at the evidence before using the score."


def fuse(
    row: FeatureSet, predictions: Mapping[Skill, Prediction], weights: Mapping[Skill, Weights] = DEFAULT_WEIGHTS
) -> dict[Skill, Fused]:
    """Fuse one student's predictions, skill by skill; a skill without an entry in ``weights`` uses the default."""
    return {
        skill: fuse_skill(row, prediction, weights.get(skill, DEFAULT_WEIGHTS[skill]))
        for skill, prediction in predictions.items()
    }


def fuse_skill(row: FeatureSet, prediction: Prediction, weights: Weights) -> Fused:
    """Fuse one skill of one student."""
    observed = {source: observations(row, prediction.skill, source) for source in RULES[prediction.skill]}
    available = [source for source in SOURCES if source == "ml_inference" or observed[source]]
    shares = source_shares(weights, available)
    parts = parts_of(row, prediction)
    confidence = combine(parts, groups=len(available) - 1) if shares else FLOOR
    items = _evidence(row, prediction, observed, shares, confidence)
    score = adjusted_score(items, weights.confidence_adjustment, confidence)
    agreement = source_agreement(_source_score(items, source) for source in shares)
    return Fused(
        skill=prediction.skill,
        score=score,
        band=band_of(score),
        confidence=round(confidence, 4),
        parts=parts,
        interval=interval_around(prediction, score),
        evidence=top_evidence(items),
        source_agreement=agreement,
        sources_missing=tuple(source for source in SOURCES if source not in available),
        warnings=_warnings(available, agreement, bool(shares)),
        prediction=prediction,
    )


def source_shares(weights: Weights, available: Sequence[Source]) -> dict[Source, float]:
    """Each source's share of the score: its weight over the weights in use; empty when those are all zero."""
    given: dict[Source, float] = {source: getattr(weights, source) for source in available}
    total = sum(given.values())
    return {source: weight / total for source, weight in given.items() if weight > 0.0}


def adjusted_score(items: Sequence[Evidence], adjustment: float, confidence: float) -> float:
    """The formula at the top of this module, rounded to 4 decimals; the neutral .5 without any evidence."""
    if not items:
        return NEUTRAL
    weighted = sum(item.weight * item.score for item in items)
    return round(min(1.0, max(0.0, weighted * (1.0 + adjustment * (confidence - 0.5)))), 4)


def source_agreement(scores: Iterable[float]) -> float:
    """1 - 2 x the (population) standard deviation of the source scores; 1 for fewer than two sources."""
    values = list(scores)
    if len(values) < 2:
        return 1.0
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return max(0.0, 1.0 - 2.0 * deviation)


def _evidence(
    row: FeatureSet,
    prediction: Prediction,
    observed: Mapping[Source, Sequence[Observation]],
    shares: Mapping[Source, float],
    confidence: float,
) -> list[Evidence]:
    """Every item of every source in use; the weights sum to 1 and sum(weight x score) is the unadjusted score."""
    items: list[Evidence] = []
    for source, share in shares.items():
        if source == "ml_inference":
            items.append(model_evidence(row, prediction, confidence, share))
        else:
            items += feature_evidence(row, observed[source], share)
    return items


def _source_score(items: Sequence[Evidence], source: Source) -> float:
    """A source's own score: the mean of its items by weight."""
    mine = [item for item in items if item.source == source]
    total: float = sum(item.weight for item in mine)
    return sum(item.weight * item.score for item in mine) / total


def _warnings(available: Sequence[Source], agreement: float, weighted: bool) -> tuple[str, ...]:
    found = {
        NO_WEIGHT: not weighted,
        NO_OBSERVATIONS: weighted and len(available) == 1,
        ONE_GROUP: len(available) == 2,
        DISAGREEMENT: agreement < 0.5,
    }
    return tuple(text for text, holds in found.items() if holds)
