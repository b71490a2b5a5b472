"""The skill models as an engine: one XGBoost call per skill for a whole batch gives estimates and exact TreeSHAP.

Every call runs on one XGBoost thread and the skills run side by side in ``threads`` workers: XGBoost's own threads spin
while they wait, and on a busy two-core machine made one row cost 128 ms instead of 2.

Versions: a row is given the version that serves when it is read, or the one that is asked for, and keeps it: rows that
are read together get one version, whatever is promoted meanwhile. The version before stays for ``HELD_S``, for a request
whose rows went to several replicas or several batches.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.engines.base import Description, Prepared
from deployments.errors import InvalidInput, ModelNotReady
from deployments.skills.assessment import Prediction
from deployments.skills.features import SCHEMA_HASH, SKILLS, FeatureSet, Skill, base_matrix, vector_names
from deployments.skills.loaded import LoadedBundle
from model_store.skill_records import AliasTarget, BundleRecord
from model_store.skills import open_bundle, open_champion

NO_GATE: AbstractContextManager[object] = nullcontext()
HELD_S = 60.0
NUM_FEATURE = len(vector_names(SKILLS[0]))
Results = list[dict[Skill, Prediction]]


@dataclass(frozen=True, slots=True)
class SkillRow:
    """One student to assess: what was observed, which skills are asked for, and by which models (None: those serving)."""

    features: FeatureSet
    skills: tuple[Skill, ...] = SKILLS
    models: LoadedBundle | None = None


def unwatched(rows: Sequence[SkillRow], results: Results) -> None:
    """A watcher who does not care."""


class BoostingEngine:
    """The bundles of ``skills_dir``, one of which serves; implements ``Engine``.

    ``threads``: skills computed at the same time. ``gate``: a reusable context that is held while a batch computes.
    ``watch``: told, in the compute thread, what was predicted; must neither raise nor wait.
    """

    watch: Callable[[Sequence[SkillRow], Results], None]

    def __init__(self, skills_dir: Path, threads: int, gate: AbstractContextManager[object] = NO_GATE) -> None:
        self._skills_dir, self._threads, self._gate = skills_dir, threads, gate
        self._serving: LoadedBundle | None = None
        self._before: tuple[LoadedBundle, float] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self.watch = unwatched

    @property
    def serving(self) -> LoadedBundle:
        """The bundle that serves. Raises ``ModelNotReady`` before ``load``."""
        if self._serving is None:
            raise ModelNotReady("skills")
        return self._serving

    @property
    def record(self) -> BundleRecord:
        """Its record."""
        return self.serving.record

    def load(self, target: AliasTarget | None = None) -> None:
        """Open, check and load a bundle, this node's champion by default, and serve it.

        Raises ``NoSkillModels``, ``TamperedModel``.
        """
        if target is None:
            schema = {"schema_hash": SCHEMA_HASH, "num_feature": NUM_FEATURE}
            loaded = LoadedBundle(open_champion(self._skills_dir, **schema))  # type: ignore[arg-type]
        else:
            loaded = self.open(target)
        self._pool = self._pool or ThreadPoolExecutor(self._threads, "skills")
        self.serve(loaded)

    def open(self, target: AliasTarget) -> LoadedBundle:
        """A bundle in memory, checked and proved beside the one that serves. Raises ``TamperedModel``."""
        return LoadedBundle(
            open_bundle(self._skills_dir, target, schema_hash=SCHEMA_HASH, num_feature=NUM_FEATURE),
        )

    def serve(self, loaded: LoadedBundle) -> None:
        """Rows that are read from now on get this bundle; those that are under way keep theirs."""
        if self._serving is not None and self._serving.sha256 != loaded.sha256:
            self._before = (self._serving, time.monotonic())
        self._serving = loaded

    def warm(self) -> None:
        """Predict the bundle's golden row. Raises ``EngineFault`` when an output or its SHAP sum moved."""
        self.serving.warm()

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """One row of cost 1 per ``FeatureSet``, ``SkillRow`` or features object.

        ``options``: ``skills`` picks skills, ``version`` one of the versions that are held.
        """
        try:
            models = self._held(options.get("version"))
            skills = _asked(options.get("skills", models.skills), models.skills)
        except (InvalidInput, ModelNotReady) as error:
            return [error] * len(inputs)
        return [_prepared(item, skills, models, index) for index, item in enumerate(inputs)]

    def run(self, items: Sequence[Prepared]) -> Results:
        """Predict every row's skills, in order. Raises ``EngineFault`` on an answer that is not a number."""
        rows: list[SkillRow] = [item.payload for item in items]
        calls = _calls(rows, self.serving)
        base = base_matrix([row.features for row in rows])
        results: Results = [{} for _ in rows]
        if self._pool is None:
            raise ModelNotReady("skills")

        def predict(call: tuple[LoadedBundle, Skill, list[int]]) -> list[Prediction]:
            models, skill, indices = call
            return models.predict(skill, base[indices], [rows[i].features for i in indices])

        with self._gate:
            answers = list(self._pool.map(predict, calls))
        for (_, skill, indices), found in zip(calls, answers, strict=True):
            for index, prediction in zip(indices, found, strict=True):
                results[index][skill] = prediction
        # Whoever watches must not fail those who are watched.
        with suppress(Exception):
            self.watch(rows, results)
        return results

    def describe(self) -> Description:
        """Version, limits and each skill's test metrics."""
        record = self.record
        return Description(
            model="skills",
            revision=record.version,
            backend="xgboost",
            limits={"features": NUM_FEATURE},
            details={
                "skills": list(self.serving.skills),
                "synthetic_model": record.synthetic_model,
                "schema_hash": record.schema_hash,
                "metrics": {skill: dict(entry.metrics) for skill, entry in record.skills.items()},
            },
        )

    def _held(self, version: str | None) -> LoadedBundle:
        """The models of a version; those that serve when none is asked for."""
        if version in (None, self.serving.version):
            return self.serving
        if self._before is not None and self._before[0].version == version:
            if time.monotonic() - self._before[1] <= HELD_S:
                return self._before[0]
            self._before = None
        raise ModelNotReady("skills", f"version {version} does not serve here", 1.0)


def _asked(skills: Iterable[str], known: Sequence[Skill]) -> tuple[Skill, ...]:
    """The asked-for skills in the engine's order; an unknown one raises ``InvalidInput``."""
    asked = set(skills)
    if not asked <= set(known):
        raise InvalidInput(f"skills must be among: {', '.join(known)}.", "skills")
    return tuple(skill for skill in known if skill in asked)


def _calls(rows: Sequence[SkillRow], serving: LoadedBundle) -> list[tuple[LoadedBundle, Skill, list[int]]]:
    """Row numbers by models and skill, in the skills' order: one call of XGBoost each."""
    found: dict[int, tuple[LoadedBundle, dict[Skill, list[int]]]] = {}
    for number, row in enumerate(rows):
        models = row.models or serving
        _, by_skill = found.setdefault(id(models), (models, {skill: [] for skill in models.skills}))
        for skill in row.skills:
            by_skill[skill].append(number)
    return [(models, skill, held) for models, by_skill in found.values() for skill, held in by_skill.items() if held]


def _prepared(item: Any, skills: tuple[Skill, ...], models: LoadedBundle, index: int) -> Prepared | Exception:
    """One input as a row; equal observations, skills and versions have equal keys."""
    if isinstance(item, SkillRow):
        row = SkillRow(item.features, item.skills, item.models or models)
    else:
        try:
            features = item if isinstance(item, FeatureSet) else FeatureSet.parse(item, f"input[{index}]")
        except InvalidInput as error:
            return error
        row = SkillRow(features, skills, models)
    held = row.models.sha256 if row.models else ""
    return Prepared(row, 1, key=repr((row.features.values, row.features.grade, row.skills, held)).encode())
