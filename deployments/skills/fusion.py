"""Evidence fusion: the model's estimate and the normalised observations become one score with its reasons.

    score = clip( sum(w_s x source_s) / sum(w_s) x (1 + w_conf x (confidence - .5)), 0, 1 )

over the sources in use. The division matters: the three source weights sum to .90, and without it a perfect student
could not pass .945. A source without data gives its weight to the others in proportion and is reported as missing with
the reason, the model too: without it the observations stand alone, with a confidence of .50 at most.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from deployments.skills.assessment import ConfidenceParts, Evidence, Fused, Interval, Prediction, band_of
from deployments.skills.confidence import FLOOR, combine, extremity, interval_around, parts_of
from deployments.skills.evidence import Observation, feature_evidence, model_evidence, top_evidence
from deployments.skills.features import FeatureSet, Skill
from deployments.skills.normalization import SOURCES, Source
from deployments.skills.sources import SILENT, Observed, observe
from deployments.skills.weights import DEFAULT_WEIGHTS, UNNAMED, Weights, WeightSet

NEUTRAL = 0.5
NO_OBSERVATIONS = "None of the observations behind this skill's evidence is available; the score is the model's alone."
NO_WEIGHT = "No source with a weight above zero has data; the score is the neutral 0.5."
NO_MODEL_ANSWER = "The skill model did not answer; the score rests on the observations alone."
NOTHING_KNOWN = "Neither the skill model nor any observation speaks of this skill; the score is the neutral 0.5."
ONE_GROUP = "Only one kind of observation is available; the confidence is limited."
DISAGREEMENT = "The sources disagree; look at the evidence before using the score."


def fuse(
    row: FeatureSet,
    predictions: Mapping[Skill, Prediction | None],
    weights: Mapping[Skill, Weights] = DEFAULT_WEIGHTS,
    observed: Observed | None = None,
    weighed_by: WeightSet = UNNAMED,
) -> dict[Skill, Fused]:
    """Fuse one student's sources, skill by skill; a skill without an entry in ``weights`` uses the default.

    A prediction of None: the model did not answer. ``observed``: what was gathered already.
    """
    known = observed or observe(row, tuple(predictions))
    return {
        skill: _fuse(row, skill, prediction, weights.get(skill, DEFAULT_WEIGHTS[skill]), known, weighed_by)
        for skill, prediction in predictions.items()
    }


def fuse_skill(row: FeatureSet, prediction: Prediction, weights: Weights) -> Fused:
    """Fuse one skill of one student."""
    skill = prediction.skill
    return fuse(row, {skill: prediction}, {skill: weights})[skill]


def _fuse(
    row: FeatureSet,
    skill: Skill,
    prediction: Prediction | None,
    weights: Weights,
    observed: Observed,
    weighed_by: WeightSet,
) -> Fused:
    groups = observed.available(skill)
    available: list[Source] = ["ml_inference", *groups] if prediction else groups
    shares = source_shares(weights, available)
    items = [item for source in groups for item in _observed_evidence(row, skill, source, observed, shares)]
    # Without the model there is no calibrated spread and nothing to confirm the observations: one group less.
    parts = parts_of(row, prediction) if prediction else _parts_without_model(row, items)
    confidence = combine(parts, len(groups) - (prediction is None)) if shares else FLOOR
    if prediction and "ml_inference" in shares:
        items.insert(0, model_evidence(row, prediction, confidence, shares["ml_inference"]))
    score = adjusted_score(items, weights.confidence_adjustment, confidence)
    agreement = source_agreement(_source_score(items, source) for source in shares)
    reasons: dict[Source, str] = {**({} if prediction else {"ml_inference": SILENT}), **observed.why_missing(groups)}
    return Fused(
        skill=skill,
        score=score,
        band=band_of(score),
        confidence=round(confidence, 4),
        parts=parts,
        # Without the model only the whole scale is sure to hold the raters' score.
        interval=interval_around(prediction, score) if prediction else Interval(0.0, 1.0, 1.0),
        evidence=top_evidence(items),
        source_agreement=agreement,
        sources_missing=tuple(source for source in SOURCES if source not in available),
        warnings=_warnings(prediction is not None, len(groups), agreement, bool(shares)),
        prediction=prediction,
        missing_reasons=tuple(reasons.items()),
        weighed_by=weighed_by,
    )


def _parts_without_model(row: FeatureSet, items: Sequence[Evidence]) -> ConfidenceParts:
    base = sum(item.weight * item.score for item in items) if items else NEUTRAL
    return ConfidenceParts(0.0, extremity(min(1.0, max(0.0, base))), 0.5 + 0.5 * row.completeness)


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


def _observed_evidence(
    row: FeatureSet, skill: Skill, source: Source, observed: Observed, shares: Mapping[Source, float]
) -> list[Evidence]:
    """The items of one group; with the model's, the weights of all sum to 1 and sum(weight x score) is the base."""
    found: Sequence[Observation] = observed.of[skill][source] if source in shares else ()
    return feature_evidence(row, found, shares[source]) if found else []


def _source_score(items: Sequence[Evidence], source: Source) -> float:
    """A source's own score: the mean of its items by weight."""
    mine = [item for item in items if item.source == source]
    total: float = sum(item.weight for item in mine)
    return sum(item.weight * item.score for item in mine) / total


def _warnings(model: bool, groups: int, agreement: float, weighted: bool) -> tuple[str, ...]:
    found = {
        NOTHING_KNOWN: not model and not groups,
        NO_MODEL_ANSWER: not model and groups > 0,
        NO_WEIGHT: (model or groups > 0) and not weighted,
        NO_OBSERVATIONS: model and weighted and not groups,
        ONE_GROUP: groups == 1,
        DISAGREEMENT: agreement < 0.5,
    }
    return tuple(text for text, holds in found.items() if holds)
