"""What a check returns: figures, and whether each requirement on them holds."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Verdict:
    """One check's outcome. ``require`` adds a requirement; ``figures`` are for the record.

    Requirements on speed are marked ``timed``: a test suite must not depend on them, `make prove` does.
    """

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    requirements: list[tuple[str, bool]] = field(default_factory=list)
    timed: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failed()

    def failed(self, with_timed: bool = True) -> list[str]:
        """The requirements that do not hold."""
        looked_at = self.requirements + (self.timed if with_timed else [])
        return [what for what, held in looked_at if not held]

    def require(self, what: str, held: bool) -> None:
        self.requirements.append((what, bool(held)))

    def require_at_most(self, name: str, value: float, ceiling: float) -> None:
        """A bound on accuracy or size."""
        self.figures[name] = float(f"{value:.4g}")
        self.require(f"{name} {value:.3g} <= {ceiling:g}", value <= ceiling)

    def at_least(self, name: str, value: float, floor: float) -> None:
        """A floor on speed."""
        self.figures[name] = float(f"{value:.4g}")
        self.timed.append((f"{name} {value:.3g} >= {floor:g}", value >= floor))

    def at_most(self, name: str, value: float, ceiling: float) -> None:
        """A ceiling on time."""
        self.figures[name] = float(f"{value:.4g}")
        self.timed.append((f"{name} {value:.3g} <= {ceiling:g}", value <= ceiling))

    def to_json(self) -> dict[str, Any]:
        checked = len(self.requirements) + len(self.timed)
        return {"ok": self.ok, "figures": self.figures, "checked": checked, "failed": self.failed()}
