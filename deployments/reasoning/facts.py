"""What a language model is told of an assessment: figures and our own words about them, never a student's.

No transcript, name or id can be in it, because nothing of the kind reaches this stage: a ``Fused`` holds numbers, names of
features, and sentences that are made here. Figures are rounded, so that equal assessments have equal facts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from deployments.skills.assessment import Evidence, Fused
from deployments.skills.features import FEATURES, INDEX, Skill
from deployments.skills.phrases import WORDS

LADDER: tuple[int | None, ...] = (None, 10, 5, 3)
"""How many items of evidence are told, from all of them down; after the last step the template writes."""
ASPECTS: Mapping[Skill, tuple[str, str, str]] = {
    "empathy": ("noticing how others feel", "caring about it", "acting with others in mind"),
    "problem_solving": ("seeing what is wanted", "trying out ways to it", "checking what came of them"),
    "self_regulation": ("starting with a plan", "staying with the activity", "keeping calm and on pace"),
    "resilience": ("trying again", "learning from a try that did not work", "keeping a hopeful tone"),
}
GROUP_WORDS = {
    "linguistic_features": "what was said or written",
    "behavioral_features": "how tasks were worked on",
    "ml_inference": "the model's estimate",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one skill. ``evidence`` is ordered, the weightiest first."""

    skill: Skill
    fixed: Mapping[str, Any]
    evidence: Sequence[Mapping[str, Any]]

    def told(self, most: int | None) -> dict[str, Any]:
        """The facts with at most so many items of evidence; None: all."""
        return {**self.fixed, "evidence": [*self.evidence[:most]]}

    def digest(self, *more: str) -> str:
        """The same for equal facts and equal ``more``, and only then."""
        parts = orjson.dumps([self.told(None), *more], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(parts).hexdigest()

    def numbers(self) -> set[float]:
        """Every figure in the facts."""
        fixed = self.fixed
        return {fixed["score"], fixed["confidence"], *fixed["likely_between"]} | {
            item["observed_level"] for item in self.evidence
        }


def facts_of(fused: Fused) -> Facts:
    """The facts of one fused skill."""
    words = WORDS[fused.skill]
    ordered = sorted(
        (item for item in fused.evidence if item.source != "ml_inference"),
        key=lambda item: (-item.weight, item.feature),
    )
    fixed = {
        "skill": words.name,
        "meaning": words.meaning,
        "aspects": list(ASPECTS[fused.skill]),
        "band": fused.band,
        "score": round(fused.score, 2),
        "likely_between": [round(fused.interval.lower, 2), round(fused.interval.upper, 2)],
        "confidence": round(fused.confidence, 2),
        "not_known": [GROUP_WORDS[source] for source in fused.sources_missing],
    }
    return Facts(fused.skill, fixed, [_told(item, fused.skill) for item in ordered])


def _told(item: Evidence, skill: Skill) -> dict[str, Any]:
    return {
        "observation": FEATURES[INDEX[item.feature]].description,
        "speaks_of": WORDS[skill].features[item.feature].doing,
        "observed_level": round(item.score, 2),
        "kind": GROUP_WORDS[item.source],
    }
