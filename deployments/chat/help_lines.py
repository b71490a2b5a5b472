"""The help lines that an answer carries when somebody may be in danger: ours, or the operator's own."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.errors import UnusableData

_OWN = Path(__file__).with_name("help_lines.yaml")


class HelpLine(BaseModel):
    """One line. ``contact``: what to dial, text or open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100)
    contact: str = Field(min_length=1, max_length=100)
    kind: Literal["emergency", "crisis_line", "text_line", "directory"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    checked: date
    verified: bool
    default: list[HelpLine] = Field(min_length=1)
    countries: dict[str, list[HelpLine]]


@dataclass(frozen=True, slots=True)
class HelpLines:
    """All lines. ``country``: the one that counts where a request names none; None: the international ones."""

    tables: tuple[_Table, ...]
    country: str | None = None

    def of(self, country: str | None) -> dict[str, Any]:
        """The lines of a country with the day they were checked and whether anybody has called them."""
        wanted = (country or self.country or "").upper()
        for table in self.tables:
            if lines := table.countries.get(wanted):
                return _told(table, wanted, lines)
        return _told(self.tables[0], None, self.tables[0].default)


def load_help_lines(file: Path | None, country: str | None) -> HelpLines:
    """Our lines under the operator's. Raises ``UnusableData``."""
    tables = (_ours(),) if file is None else (_read(file), _ours())
    return HelpLines(tables, country)


@cache
def _ours() -> _Table:
    return _read(_OWN)


def _told(table: _Table, country: str | None, lines: list[HelpLine]) -> dict[str, Any]:
    return {
        "country": country,
        "lines": [line.model_dump() for line in lines],
        "checked": table.checked.isoformat(),
        "verified": table.verified,
    }


def _read(path: Path) -> _Table:
    try:
        return _Table.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise UnusableData(f"The help lines {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnusableData(f"The help lines {path} cannot be read: {type(error).__name__}.") from None
