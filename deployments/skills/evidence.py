"""Evidence items: what was observed, how it scores, how far it may be trusted and how much it weighs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deployments.skills.assessment import Evidence, EvidenceType, Prediction
from deployments.skills.features import FEATURES, INDEX, FeatureSet, Skill
from deployments.skills.normalization import ROLE_RELEVANCE, ROLE_SHARES, RULES, Rule, Source

TOP = 5
CREDIBILITY: Mapping[Source, tuple[str, float]] = {
    "linguistic_features": ("word_count", 50.0),
    "behavioral_features": ("event_count", 20.0),
}
"""How much was observed, and the amount at which an observed rate deserves half of full confidence."""
UNKNOWN_AMOUNT_CONFIDENCE = 0.5
EVIDENCE_TYPES: Mapping[Source, EvidenceType] = {
    "ml_inference": "contextual",
    "linguistic_features": "linguistic",
    "behavioral_features": "behavioral",
}


@dataclass(frozen=True, slots=True)
class Observation:
    """An observed value under its rule. ``share``: its part of the source's score; a source's shares sum to 1."""

    rule: Rule
    value: float
    share: float
    relevance: float


def observations(row: FeatureSet, skill: Skill, source: Source) -> list[Observation]:
    """The source's observed features, primary first; the shares of missing ones go to the others in proportion."""
    rules = RULES[skill][source]
    roles = zip(rules, ROLE_SHARES[len(rules)], ROLE_RELEVANCE, strict=False)
    present = [
        Observation(rule, value, share, relevance)
        for rule, share, relevance in roles
        if (value := row.get(rule.feature)) is not None
    ]
    total = sum(item.share for item in present)
    return [replace(item, share=item.share / total) for item in present]


def model_evidence(row: FeatureSet, prediction: Prediction, confidence: float, weight: float) -> Evidence:
    """The model's estimate as an item of evidence; its confidence is the assessment's."""
    known = len(FEATURES) - row.values.count(None)
    return Evidence(
        source="ml_inference",
        evidence_type=EVIDENCE_TYPES["ml_inference"],
        feature="model_estimate",
        content=f"The model estimates {prediction.estimate:.2f} from {known} of {len(FEATURES)} features.",
        score=prediction.estimate,
        confidence=confidence,
        relevance=1.0,
        weight=weight,
    )


def feature_evidence(row: FeatureSet, observed: Sequence[Observation], weight: float) -> list[Evidence]:
    """One item per observation of one source; their weights sum to ``weight``."""
    return [
        Evidence(
            source=item.rule.source,
            evidence_type=EVIDENCE_TYPES[item.rule.source],
            feature=item.rule.feature,
            content=describe(item.rule, item.value),
            score=item.rule.score(item.value),
            confidence=credibility(row, item.rule.source),
            relevance=item.relevance,
            weight=weight * item.share,
        )
        for item in observed
    ]


def credibility(row: FeatureSet, source: Source) -> float:
    """n / (n + k) for n observed words or events (the credibility weight of an observed rate); .5 when unknown."""
    name, half = CREDIBILITY[source]
    amount = row.get(name)
    return UNKNOWN_AMOUNT_CONFIDENCE if amount is None else amount / (amount + half)


def describe(rule: Rule, value: float) -> str:
    """One readable line: what was observed, its value and unit, and what is typical or the usual range."""
    feature = FEATURES[INDEX[rule.feature]]
    is_share = feature.unit.startswith("share of")
    shown = f"{value:.0%} {feature.unit.removeprefix('share ')}" if is_share else f"{value:.4g}"
    if rule.source == "behavioral_features":
        against = f"scale {rule.a:g} to {rule.b:g}"
    else:
        against = f"typical {rule.a:.0%}" if is_share else f"typical {rule.a:g}"
    return f"{feature.description[0].upper()}{feature.description[1:]}: {shown} ({against})."


def top_evidence(items: Sequence[Evidence], limit: int = TOP) -> tuple[Evidence, ...]:
    """The ``limit`` best items by rank, among them the best of every source; best first. Ties keep the given order."""
    ordered = sorted(items, key=lambda item: -item.rank)
    best: dict[str, Evidence] = {}
    for item in ordered:
        best.setdefault(item.source, item)
    chosen = list(best.values())
    chosen += [item for item in ordered if item not in chosen][: max(0, limit - len(chosen))]
    return tuple(sorted(chosen, key=lambda item: -item.rank))
