"""What a call of a language model costs, by a dated table that the operator can override."""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.errors import UnusableData

NANO = 1_000_000_000
_OWN = Path(__file__).with_name("prices.yaml")
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Price(BaseModel):
    """One model's price from a day on, US dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    valid_from: date
    input: float = Field(ge=0)
    cached: float = Field(ge=0)
    output: float = Field(ge=0)

    def nano_usd(self, prompt: int, cached: int, completion: int) -> int:
        """The cost in billionths of a dollar, so that sums are exact."""
        cached = min(cached, prompt)
        millionths = (prompt - cached) * self.input + cached * self.cached + completion * self.output
        return round(millionths * NANO / 1_000_000)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str = ""
    prices: list[Price]


@dataclass(frozen=True, slots=True)
class Prices:
    """The rows that count, the operator's first."""

    rows: tuple[Price, ...]

    def of(self, model: str, today: date) -> Price | None:
        """The price of a model, also of a dated snapshot of it; None where no row is valid."""
        for name in (model, _SNAPSHOT.sub("", model)):
            valid = [row for row in self.rows if row.model == name and row.valid_from <= today]
            if valid:
                return max(valid, key=lambda row: row.valid_from)
        return None


def load_prices(override: Path | None) -> Prices:
    """The table that comes with Muster, under the operator's rows. Raises ``UnusableData``."""
    own = _read(_OWN)
    if override is None:
        return Prices(own)
    given = _read(override)
    named = {row.model for row in given}
    return Prices((*given, *(row for row in own if row.model not in named)))


def free(model: str) -> Price:
    """The price of a model on this machine."""
    return Price(model=model, valid_from=date.min, input=0.0, cached=0.0, output=0.0)


def _read(path: Path) -> tuple[Price, ...]:
    try:
        body: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(_Table.model_validate(body).prices)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise UnusableData(f"The price table {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnusableData(f"The price table {path} cannot be read: {type(error).__name__}.") from None
