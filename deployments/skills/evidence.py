"""Evidence items: what was observed, how it scores, how far it may be trusted and how much it weighs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deployments.skills.assessment import Evidence, EvidenceType, Prediction
from deployments.skills.calibration import HALF_CREDIBLE
from deployments.skills.features import FEATURES, INDEX, FeatureSet, Skill
from deployments.skills.normalization import ROLE_RELEVANCE, ROLE_SHARES, RULES, Rule, Source

TOP = 5
AMOUNT: Mapping[Source, str] = {"linguistic_features": "word_count", "behavioral_features": "event_count"}
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
    amount = row.get(AMOUNT[source])
    return UNKNOWN_AMOUNT_CONFIDENCE if amount is None else amount / (amount + HALF_CREDIBLE[AMOUNT[source]])


def describe(rule: Rule, value: float) -> str:
    """One readable line: what was observed, its value, and what is typical or the scale it is read on."""
    feature = FEATURES[INDEX[rule.feature]]
    share = feature.unit.startswith("share of")
    if rule.source == "linguistic_features":
        none = "0 is none, " if rule.feature == "negative_sentiment" else ""
        against = f"; {none}typical {_shown(feature.unit, rule.a)}"
    else:
        # A share's scale is known to everybody.
        against = "" if share else f"; scale {rule.a:g} to {_shown(feature.unit, rule.b)}"
    whole = feature.unit.removeprefix("share ") if share else ""
    value_text = " ".join(filter(None, (_shown(feature.unit, value), whole)))
    return f"{feature.description[0].upper()}{feature.description[1:]} ({value_text}{against})."


def _shown(unit: str, value: float) -> str:
    """A number as a reader expects it: shares in percent, seconds in minutes."""
    if unit.startswith("share of"):
        return f"{value:.0%}"
    return f"{value / 60:.0f} min" if unit == "seconds" else f"{round(value, 2):g}"


def top_evidence(items: Sequence[Evidence], limit: int = TOP) -> tuple[Evidence, ...]:
    """The ``limit`` best items by rank, among them the best of every source; best first. Ties keep the given order."""
    ordered = sorted(items, key=lambda item: -item.rank)
    best: dict[str, Evidence] = {}
    for item in ordered:
        best.setdefault(item.source, item)
    chosen = list(best.values())
    chosen += [item for item in ordered if item not in chosen][: max(0, limit - len(chosen))]
    return tuple(sorted(chosen, key=lambda item: -item.rank))
