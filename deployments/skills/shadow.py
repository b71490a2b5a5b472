"""The challenger's estimates beside the champion's, for the same students, and how far they lie apart.

Nothing of it reaches an answer. The engine hands over what it predicted without waiting; what nobody has compared yet is
bounded, and the oldest goes first. Estimates alone are compared: no SHAP, a twentieth of the champion's own work.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deployments.engines.boosting import Results, SkillRow
from deployments.skills.assessment import band_of
from deployments.skills.features import FeatureSet, Skill, base_matrix
from deployments.skills.loaded import LoadedBundle

MOST_WAITING, AT_A_TIME = 2_000, 128


@dataclass(slots=True)
class Difference:
    """Of one skill, challenger minus champion, in score units; ``other_band``: how many estimates fell in another band."""

    rows: int = 0
    total: float = 0.0
    absolute: float = 0.0
    largest: float = 0.0
    other_band: int = 0

    def add(self, champion: float, challenger: float) -> None:
        apart = challenger - champion
        self.rows += 1
        self.total += apart
        self.absolute += abs(apart)
        self.largest = max(self.largest, abs(apart))
        self.other_band += band_of(champion) != band_of(challenger)


@dataclass(frozen=True, slots=True)
class _Waiting:
    features: FeatureSet
    version: str
    estimates: Mapping[Skill, float]


class Shadow:
    """Compares one challenger with the champion. ``offer`` belongs to the compute thread, ``compare`` to another one."""

    def __init__(self, champion: LoadedBundle, challenger: LoadedBundle) -> None:
        self.champion, self.challenger = champion, challenger
        self.dropped, self.failed = 0, 0
        self._waiting: deque[_Waiting] = deque()
        self._by_skill: dict[Skill, Difference] = {skill: Difference() for skill in challenger.skills}

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def offer(self, rows: Sequence[SkillRow], results: Results) -> None:
        """Remember what the champion said; rows of another version, and probes without observations, are left out."""
        for row, found in zip(rows, results, strict=True):
            if row.models is not self.champion or not row.features.completeness:
                continue
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            estimates = {skill: prediction.estimate for skill, prediction in found.items()}
            self._waiting.append(_Waiting(row.features, row.models.version, estimates))

    def compare(self) -> int:
        """Predict and compare what waits, up to ``AT_A_TIME`` rows: how many there were. Never raises."""
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < AT_A_TIME:
            taken.append(self._waiting.popleft())
        if not taken:
            return 0
        try:
            self._compare(taken)
        except Exception:  # noqa: BLE001 - a challenger that cannot predict is counted; it must disturb nobody
            self.failed += len(taken)
        return len(taken)

    def summary(self) -> dict[str, Any]:
        """What was found so far, as JSON; sums, so that replicas can be added up."""
        return {
            "champion": self.champion.version,
            "challenger": self.challenger.version,
            "dropped": self.dropped,
            "failed": self.failed,
            "skills": {skill: asdict(difference) for skill, difference in self._by_skill.items()},
        }

    def _compare(self, taken: Sequence[_Waiting]) -> None:
        base = base_matrix([one.features for one in taken])
        for skill, difference in self._by_skill.items():
            estimates = self.challenger.estimates(skill, base)
            if not np.isfinite(estimates).all():
                raise ValueError("an estimate is not a number")
            for one, challenger in zip(taken, estimates.tolist(), strict=True):
                if skill in one.estimates:
                    difference.add(one.estimates[skill], challenger)


def added_up(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """One summary of several replicas' for the newest pair of versions; None when there is none."""
    if not summaries:
        return None
    pair = {name: summaries[-1][name] for name in ("champion", "challenger")}
    same = [one for one in summaries if all(one[name] == version for name, version in pair.items())]
    skills: dict[str, dict[str, float]] = {}
    for one in same:
        for skill, difference in one["skills"].items():
            into = skills.setdefault(skill, dict.fromkeys(difference, 0))
            for name, value in difference.items():
                into[name] = max(into[name], value) if name == "largest" else into[name] + value
    totals = {name: sum(one[name] for one in same) for name in ("dropped", "failed")}
    return {**pair, **totals, "skills": {skill: _told(held) for skill, held in skills.items()}}


def _told(held: Mapping[str, float]) -> dict[str, float]:
    """Means instead of sums."""
    rows = held["rows"] or 1
    return {
        "rows": held["rows"],
        "mean_difference": round(held["total"] / rows, 6),
        "mean_absolute_difference": round(held["absolute"] / rows, 6),
        "largest_difference": round(held["largest"], 6),
        "other_band": held["other_band"],
    }
