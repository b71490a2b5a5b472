"""The sources of an assessment beside the model, each gathered by itself so that one that fails takes no other along."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deployments.skills.evidence import Observation, observations
from deployments.skills.features import SKILLS, FeatureSet, Skill
from deployments.skills.normalization import SOURCES, Source

GROUPS: tuple[Source, ...] = tuple(source for source in SOURCES if source != "ml_inference")
UNOBSERVED = "nothing of it was observed"
BROKEN = "its evidence could not be computed"
SILENT = "the skill model did not answer"


@dataclass(frozen=True, slots=True)
class Observed:
    """What was observed of one student: for each skill the observations of both groups. ``failed``: groups whose evidence
    could not be computed."""

    of: Mapping[Skill, Mapping[Source, Sequence[Observation]]]
    failed: Mapping[Source, str] = field(default_factory=dict)

    def available(self, skill: Skill) -> list[Source]:
        """The groups that say something of this skill."""
        return [source for source in GROUPS if self.of[skill][source]]

    def why_missing(self, available: Sequence[Source]) -> dict[Source, str]:
        """Why the groups beside these do not."""
        return {source: self.failed.get(source, UNOBSERVED) for source in GROUPS if source not in available}


def observe(row: FeatureSet, skills: Sequence[Skill] = SKILLS) -> Observed:
    """Both groups' observations of one student. Never raises: a group that cannot be read is ``failed`` for all skills."""
    found: dict[Skill, dict[Source, Sequence[Observation]]] = {skill: {} for skill in skills}
    failed: dict[Source, str] = {}
    for source in GROUPS:
        try:
            gathered = {skill: _checked(observations(row, skill, source)) for skill in skills}
        except Exception:  # noqa: BLE001 - whatever it is, the other sources still make an assessment
            failed[source] = BROKEN
            gathered = {skill: [] for skill in skills}
        for skill in skills:
            found[skill][source] = gathered[skill]
    return Observed(found, failed)


def _checked(found: list[Observation]) -> list[Observation]:
    """The observations, all of them numbers. Raises ``ValueError``."""
    if not all(math.isfinite(item.value) for item in found):
        raise ValueError("not a number")
    return found
