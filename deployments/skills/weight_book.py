"""All fusion weights of a deployment: named sets, the experiment that shares students out among them, and the history.

A book is one JSON document: what the weights file holds, and what Redis keeps. It is frozen; a change makes a new one with
the next revision and one more line of history.
"""

import hmac
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from deployments.errors import InvalidInput
from deployments.skills.features import SKILLS, Skill
from deployments.skills.weights import DEFAULT_WEIGHTS, Weights, WeightSet

DEFAULT_SET = "default"
KEPT_CHANGES = 100
MAX_SETS = 16
SHARES_TOLERANCE = 1e-6
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELDS = frozenset({"version", "description", "weights", "sets", "experiment", "revision", "history"})


@dataclass(frozen=True, slots=True)
class Experiment:
    """Which share of the students is weighed by which set. ``salt``: so that two experiments share out anew."""

    name: str
    salt: str
    shares: tuple[tuple[str, float], ...]

    def set_for(self, tenant: str, student: str) -> str:
        """The student's set: always the same, and the shares hold over many students."""
        digest = hmac.digest(self.salt.encode(), f"{tenant}\x00{student}".encode(), "sha256")
        place = int.from_bytes(digest[:8], "big") / 2**64
        reached = 0.0
        for name, share in self.shares:
            reached += share
            if place < reached:
                return name
        return max(self.shares, key=lambda share: share[1])[0]


@dataclass(frozen=True, slots=True)
class WeightBook:
    """``sets[name][skill]``; the set ``default`` is always there and every set has all skills."""

    sets: Mapping[str, Mapping[Skill, Weights]] = field(default_factory=lambda: {DEFAULT_SET: DEFAULT_WEIGHTS})
    version: str = "1.0.0"
    description: str = "The published weights."
    experiment: Experiment | None = None
    revision: int = 0
    history: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def parse(cls, body: Any) -> "WeightBook":
        """Read a document. Raises ``InvalidInput`` naming the field, for example ``sets.trial.weights.empathy``."""
        document = _object(body, "weights file")
        for unknown in set(document) - _FIELDS:
            raise InvalidInput(f"The weights file has no field {unknown[:40]!r}.", unknown[:40])
        sets = {DEFAULT_SET: _skill_weights(document.get("weights", {}), "weights")}
        for name, entry in _object(document.get("sets", {}), "sets").items():
            if not _NAME.fullmatch(name) or name == DEFAULT_SET or len(sets) >= MAX_SETS:
                raise InvalidInput(f"A set's name has up to 64 of a-z 0-9 . _ -, up to {MAX_SETS} sets.", "sets")
            sets[name] = _skill_weights(_object(entry, f"sets.{name}").get("weights"), f"sets.{name}.weights")
        return cls(
            sets=sets,
            version=_text(document, "version", "1.0.0", 64),
            description=_text(document, "description", "", 1000),
            experiment=_experiment(document.get("experiment"), sets),
            revision=_revision(document.get("revision", 0)),
            history=tuple(_lines(document.get("history", ())))[-KEPT_CHANGES:],
        )

    def to_json(self) -> dict[str, Any]:
        """The document; what ``parse`` reads."""
        others = {name: {"weights": _plain(sets)} for name, sets in self.sets.items() if name != DEFAULT_SET}
        experiment = self.experiment
        return {
            "version": self.version,
            "description": self.description,
            "weights": _plain(self.sets[DEFAULT_SET]),
            "sets": others,
            "experiment": experiment
            and {"name": experiment.name, "salt": experiment.salt, "shares": dict(experiment.shares)},
            "revision": self.revision,
            "history": list(self.history),
        }

    def require(self, name: str) -> None:
        """Raises ``InvalidInput`` unless there is a set of this name."""
        if name not in self.sets:
            raise InvalidInput(f"There is no weight set of this name; use one of: {', '.join(self.sets)}.", "set")

    def changed(self, name: str, skill: Skill, weights: Weights, who: Mapping[str, str]) -> "WeightBook":
        """The book after one skill's weights of one set were replaced. Raises ``InvalidInput`` for an unknown set."""
        self.require(name)
        line = {
            "what": "put",
            "set": name,
            "skill_type": skill,
            "old": self.sets[name][skill].to_json(),
            "new": weights.to_json(),
        }
        sets = {**self.sets, name: {**self.sets[name], skill: weights}}
        return replace(self, sets=sets, **self._next(line, who))

    def reloaded(self, file: "WeightBook", who: Mapping[str, str]) -> "WeightBook":
        """The file's book in the place of this one, which stays in the history."""
        old, new = ({name: _plain(weights) for name, weights in book.sets.items()} for book in (self, file))
        return replace(file, **self._next({"what": "reload", "old": old, "new": new}, who))

    def set_for(self, tenant: str, student: str | None) -> str:
        """The set that weighs a student; one without an id takes no part in an experiment."""
        return self.experiment.set_for(tenant, student) if self.experiment and student else DEFAULT_SET

    def option(self, name: str) -> dict[str, Any]:
        """A set as it travels with a call."""
        skills = {skill: list(weights.to_json().values()) for skill, weights in self.sets[name].items()}
        return {"set": name, "revision": self.revision, "skills": skills}

    def _next(self, line: Mapping[str, Any], who: Mapping[str, str]) -> dict[str, Any]:
        revision = self.revision + 1
        told = {"revision": revision, "at": datetime.now(UTC).isoformat(), "who": dict(who), **line}
        return {"revision": revision, "history": (*self.history, told)[-KEPT_CHANGES:]}


def weights_of(option: Any) -> tuple[Mapping[Skill, Weights], WeightSet]:
    """What a call brings (``WeightBook.option``); the defaults when it brings nothing."""
    if not option:
        return DEFAULT_WEIGHTS, WeightSet()
    weights = {skill: Weights(*option["skills"][skill]) for skill in SKILLS}
    return weights, WeightSet(option["set"], option["revision"])


def _plain(weights: Mapping[Skill, Weights]) -> dict[str, Any]:
    return {skill: each.to_json() for skill, each in weights.items()}


def _object(value: Any, param: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise InvalidInput(f"{param} must be an object.", param)


def _text(document: Mapping[str, Any], name: str, default: str, most: int) -> str:
    value = document.get(name, default)
    if not isinstance(value, str) or len(value) > most:
        raise InvalidInput(f"{name} must be a text of up to {most} characters.", name)
    return value


def _revision(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput("revision must be a whole number; leave it out of a file.", "revision")
    return value


def _lines(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list | tuple) or not all(isinstance(line, Mapping) for line in value):
        raise InvalidInput("history must be a list of changes; leave it out of a file.", "history")
    return value


def _skill_weights(value: Any, param: str) -> Mapping[Skill, Weights]:
    given = _object(value, param)
    for unknown in set(given) - set(SKILLS):
        raise InvalidInput(f"{param} has no such skill; use: {', '.join(SKILLS)}.", f"{param}.{unknown[:40]}")
    weights = dict(DEFAULT_WEIGHTS)
    for skill in SKILLS:
        if skill in given:
            try:
                weights[skill] = Weights.parse(given[skill])
            except InvalidInput as error:
                field = "" if error.param in (None, "weights") else f".{error.param}"
                raise InvalidInput(error.message, f"{param}.{skill}{field}") from None
    return weights


def _experiment(value: Any, sets: Mapping[str, Any]) -> Experiment | None:
    if value is None:
        return None
    body = _object(value, "experiment")
    name, salt = _text(body, "name", "", 64), _text(body, "salt", "", 256)
    if set(body) != {"name", "salt", "shares"} or not name or len(salt) < 8:
        raise InvalidInput("experiment has a name, a salt of 8 characters or more, and shares.", "experiment")
    shares = _object(body["shares"], "experiment.shares")
    for set_name, share in shares.items():
        field = f"experiment.shares.{str(set_name)[:64]}"
        if set_name not in sets:
            raise InvalidInput(f"There is no weight set of this name; there are: {', '.join(sets)}.", field)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise InvalidInput("A share must be a number from 0 to 1.", field)
    total = math.fsum(shares.values())
    if abs(total - 1.0) > SHARES_TOLERANCE:
        raise InvalidInput(f"The shares must sum to 1; they sum to {total:.4g}.", "experiment.shares")
    return Experiment(name, salt, tuple((str(key), float(share)) for key, share in shares.items()))
