"""Which embedding model the data of this store was made with: ``<store>/embedding.json``.

    {"model": "all-minilm-l6-v2", "dimensions": 384}

Vectors of another model are noise beside those that exist, and of another dimension do not even fit the indexes.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.catalogue import ModelSpec
from model_store.errors import EmbeddingChanged, PlanRefused

RECORD = "embedding.json"


class EmbeddingRecord(BaseModel):
    """``model``: a catalogue key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    dimensions: int = Field(gt=0)

    def __str__(self) -> str:
        return f"{self.model} ({self.dimensions} dimensions)"


def read_record(store: Path) -> EmbeddingRecord | None:
    """None where nothing was recorded. Raises ``PlanRefused`` for a file that is no record."""
    path = store / RECORD
    try:
        return EmbeddingRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise PlanRefused(f"{path} is not readable as a record of the embedding model; repair or remove it.") from error


def embedding_change(store: Path, planned: ModelSpec) -> EmbeddingChanged | None:
    """The error to raise when the data of ``store`` was made with another model than ``planned``."""
    made_with, wanted = read_record(store), _record_of(planned)
    return EmbeddingChanged(str(made_with), str(wanted)) if made_with and made_with != wanted else None


def write_record(store: Path, planned: ModelSpec) -> None:
    """Record ``planned`` as the model that data is made with from now on."""
    store.mkdir(parents=True, exist_ok=True)
    temporary = store / f"{RECORD}.new"
    temporary.write_text(_record_of(planned).model_dump_json() + "\n", encoding="utf-8")
    temporary.replace(store / RECORD)


def _record_of(spec: ModelSpec) -> EmbeddingRecord:
    assert spec.dimensions is not None, "the catalogue demands it of every embedding model"
    return EmbeddingRecord(model=spec.key, dimensions=spec.dimensions)
