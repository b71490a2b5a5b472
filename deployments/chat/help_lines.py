"""The help lines that an answer carries when somebody may be in danger: ours, or the operator's own."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from deployments.errors import UnusableData

_OWN = Path(__file__).with_name("help_lines.yaml")
_ALIASES = {"UK": "GB"}
"""What people write, by the ISO code it stands for."""


class HelpLine(BaseModel):
    """One line. ``contact``: what to dial, text or open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100)
    contact: str = Field(min_length=1, max_length=100)
    kind: Literal["emergency", "crisis_line", "text_line", "directory"]


def _by_code(given: Any) -> Any:
    """The lines by upper-case ISO code; raises ``ValueError`` naming a key that is none and what to write."""
    if not isinstance(given, dict):
        return given
    found: dict[str, Any] = {}
    for key, lines in given.items():
        # YAML reads a bare NO as the boolean.
        name = "NO" if key is False else str(key)
        if key is True or not re.fullmatch("[A-Za-z]{2}", name):
            raise ValueError(f"{name[:20]!r} is no country: write its two-letter ISO 3166 code, such as US or NO")
        if (code := _code(name)) in found:
            raise ValueError(f"{code} is there twice; keep one of its lists")
        if not lines:
            raise ValueError(f"{code} has no lines; give it one, or remove it")
        found[code] = lines
    return found


def _code(name: str) -> str:
    return _ALIASES.get(name.upper(), name.upper())


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    checked: date
    verified: bool
    default: list[HelpLine] = Field(min_length=1)
    countries: Annotated[dict[str, list[HelpLine]], BeforeValidator(_by_code)]


@dataclass(frozen=True, slots=True)
class HelpLines:
    """All lines. ``country``: the one that counts where a request names none; None: the international ones."""

    tables: tuple[_Table, ...]
    country: str | None = None

    def of(self, country: str | None) -> dict[str, Any]:
        """The lines of a country with the day they were checked and whether anybody has called them."""
        wanted = _code(country or self.country or "")
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
        said = first["msg"].removeprefix("Value error, ")
        raise UnusableData(f"The help lines {path}: {'.'.join(map(str, first['loc']))}: {said}.") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnusableData(f"The help lines {path} cannot be read: {type(error).__name__}.") from None
