"""Changes of the aliases: promote, challenge, roll back. Each is proved, gated, made in one step, and noted.

A promotion proves the bundle (hashes, structure, canary predictions in a child process, feature schema) and compares its
test metrics with the champion's. The proof cannot be skipped; the comparison can, with a reason that is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.errors import DeploymentError
from deployments.skills.alias_store import AliasStore
from deployments.skills.features import SCHEMA_HASH, SKILLS, vector_names
from deployments.skills.loaded import LoadedBundle
from model_store.errors import MusterError
from model_store.skill_aliases import alone, note
from model_store.skill_records import AliasRecord, AliasTarget, BundleRecord, NoSkillModels, TamperedSkills
from model_store.skills import open_bundle, prove, read_record, versions

WORSE = 1.05
"""The largest mean absolute error that passes the gate, as a multiple of the champion's."""
LEAST_COVERAGE = 0.85
"""Of the 90 % interval on the test rows."""
MOST_PAST = 20
Metrics = Mapping[str, Mapping[str, float]]


class PromotionRefused(DeploymentError):
    """The aliases stay as they are; the message says why and what can be done."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was made true."""

    action: str
    before: str | None
    after: str | None
    generation: int


@dataclass(frozen=True, slots=True)
class Registry:
    """The aliases of one fleet, changed from this node. ``by``: who is asking, for the history."""

    skills_dir: Path
    aliases: AliasStore
    by: str

    async def promote(
        self, version: str, *, force: bool = False, reason: str = "", measured: tuple[Metrics, Metrics] | None = None
    ) -> Change:
        """Make a version the champion. Raises ``TamperedSkills``, ``PromotionRefused``, ``StateUnavailable``.

        ``force``: whatever the metrics say, for a ``reason``. ``measured``: the metrics of the champion and of this
        version on the same data; their own test rows' when it is None.
        """
        if force and not reason.strip():
            raise PromotionRefused("--force needs --reason: the history must tell why the comparison was set aside.")

        def move(held: AliasRecord | None, record: BundleRecord, target: AliasTarget) -> AliasRecord:
            if held is None:
                return AliasRecord(**target.model_dump(), generation=1)
            if not force:
                self._gate(held, record, measured)
            challenger = held.challenger if held.challenger != target else None
            past = (*held.past, held.champion)[-MOST_PAST:] if held.champion != target else held.past
            return AliasRecord(**target.model_dump(), generation=held.generation + 1, challenger=challenger, past=past)

        return await self._change("promote", version, move, forced=force, reason=reason)

    async def challenge(self, version: str | None, *, reason: str = "") -> Change:
        """Let a version shadow the champion; None ends it. The champion's answers stay what they are."""

        def move(held: AliasRecord | None, record: BundleRecord | None, target: AliasTarget | None) -> AliasRecord:
            if held is None:
                raise PromotionRefused("There is no champion to challenge; promote a version first.")
            if target == held.champion:
                raise PromotionRefused(f"{held.version} is the champion itself.")
            return held.model_copy(update={"challenger": target, "generation": held.generation + 1})

        return await self._change("challenge", version, move, reason=reason)

    async def roll_back(self, *, reason: str = "") -> Change:
        """Make the champion before this one the champion again. Raises as ``promote`` does."""
        held = await self.held()
        if held is None or not held.past:
            raise PromotionRefused(
                "There is no champion before this one; `muster skills ls` shows what can be promoted."
            )
        before = held.past[-1]

        def move(current: AliasRecord | None, record: BundleRecord, target: AliasTarget) -> AliasRecord:
            if current is None or current.generation != held.generation or target != before:
                raise PromotionRefused("The aliases, or that bundle, have changed meanwhile; look again.")
            rolled = {**before.model_dump(), "past": held.past[:-1], "generation": held.generation + 1}
            challenger = held.challenger if held.challenger != before else None
            return held.model_copy(update={**rolled, "challenger": challenger})

        return await self._change("rollback", before.version, move, reason=reason)

    async def held(self) -> AliasRecord | None:
        """The aliases now; None while there are none, or only a damaged file."""
        try:
            return (await self.aliases.candidates())[0]
        except (NoSkillModels, TamperedSkills):
            return None

    async def _change(self, action: str, version: str | None, move: Callable[..., AliasRecord], **noted: Any) -> Change:
        with alone(self.skills_dir):
            held = await self.held()
            before = _version(held, action)
            try:
                record, target = self._proved(version) if version is not None else (None, None)
                alias = move(held, record, target)
                if not await self.aliases.change(alias):
                    raise PromotionRefused("Somebody else changed the aliases at the same time; look again.")
            except MusterError as error:
                note(
                    self.skills_dir,
                    {"by": self.by, "action": action, "outcome": "refused", "from": before, "to": version}
                    | {**noted, "why": str(error)},
                )
                raise
            note(
                self.skills_dir,
                {"by": self.by, "action": action, "outcome": "done", "from": before, "to": version}
                | {**noted, "generation": alias.generation},
            )
            return Change(action, before, version, alias.generation)

    def _proved(self, version: str) -> tuple[BundleRecord, AliasTarget]:
        """The bundle, once everything about it holds on this machine."""
        read_record(self.skills_dir, version)
        record, target = prove(self.skills_dir, version)
        width = len(vector_names(SKILLS[0]))
        bundle = open_bundle(self.skills_dir, target, schema_hash=SCHEMA_HASH, num_feature=width)
        if lacking := [skill for skill in SKILLS if skill not in bundle.models]:
            raise PromotionRefused(f"{version} has no model for {', '.join(lacking)}.")
        LoadedBundle(bundle).warm()
        return record, target

    def _gate(self, held: AliasRecord, record: BundleRecord, measured: tuple[Metrics, Metrics] | None) -> None:
        """Raise ``PromotionRefused`` with every reason why the version is worse than the champion."""
        if held.version not in versions(self.skills_dir):
            raise PromotionRefused(
                f"The champion {held.version} is not on this node, so nothing can be compared with it. Copy its folder to "
                f"{self.skills_dir}, or insist with --force --reason TEXT."
            )
        try:
            champion, _ = read_record(self.skills_dir, held.version)
        except TamperedSkills:
            # A champion that is damaged, or of an older format, must be replaceable.
            return
        reasons = gate(champion, record, measured)
        if reasons:
            raise PromotionRefused(
                f"{record.version} is not better than the champion {champion.version}: {'; '.join(reasons)}. "
                "Compare both on the same data with --data, or insist with --force --reason TEXT."
            )


def gate(champion: BundleRecord, record: BundleRecord, measured: tuple[Metrics, Metrics] | None) -> list[str]:
    """Why a version must not follow the champion without somebody insisting; empty when it may."""
    reasons = []
    if record.synthetic_model and not champion.synthetic_model:
        reasons.append("it was trained on synthetic students and the champion on rated ones")
    own = {skill: one.metrics for skill, one in record.skills.items()}
    theirs = {skill: one.metrics for skill, one in champion.skills.items()}
    before, after = measured or (theirs, own)
    for skill in SKILLS:
        if skill not in before or skill not in after:
            continue
        old, new = before[skill]["mae"], after[skill]["mae"]
        if new > old * WORSE:
            reasons.append(f"{skill}: MAE {new:.4f} against {old:.4f}")
        if after[skill]["coverage"] < LEAST_COVERAGE:
            reasons.append(f"{skill}: its intervals cover {after[skill]['coverage']:.1%} and not 90 %")
    return reasons


def _version(held: AliasRecord | None, action: str) -> str | None:
    if held is None:
        return None
    if action == "challenge":
        return held.challenger.version if held.challenger else None
    return held.version
