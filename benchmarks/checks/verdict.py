"""What a check returns: figures, and whether each requirement on them holds."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Verdict:
    """One check's outcome. ``require`` adds a requirement; ``figures`` are for the record."""

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    requirements: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(held for _, held in self.requirements)

    def require(self, what: str, held: bool) -> None:
        self.requirements.append((what, bool(held)))

    def at_least(self, name: str, value: float, floor: float) -> None:
        self.figures[name] = round(value, 4)
        self.require(f"{name} {value:.3g} >= {floor:g}", value >= floor)

    def at_most(self, name: str, value: float, ceiling: float) -> None:
        self.figures[name] = round(value, 4)
        self.require(f"{name} {value:.3g} <= {ceiling:g}", value <= ceiling)

    def to_json(self) -> dict[str, Any]:
        failed = [what for what, held in self.requirements if not held]
        return {"ok": self.ok, "figures": self.figures, "checked": len(self.requirements), "failed": failed}
