"""A classifier's labels as its own ``config.json`` gives them, read as transformers reads them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_store.errors import UntrustedArtefact

CONFIG = "config.json"
UNNAMED = 2
"""Labels of a model whose configuration does not say."""


def read_labels(files: Path) -> tuple[str, ...]:
    """The labels' names by number; names that the configuration does not have are ``LABEL_<number>``.

    Raises ``UntrustedArtefact`` when they are not texts with the numbers 0, 1, 2 and so on.
    """
    config = _config(files)
    names = config.get("id2label")
    if names is None:
        return tuple(f"LABEL_{number}" for number in range(int(config.get("num_labels") or UNNAMED)))
    try:
        numbered = {int(number): name for number, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        numbered = {}
    if sorted(numbered) != list(range(len(numbered))) or not numbered or len(numbered) != len(names):
        raise UntrustedArtefact(CONFIG, "its id2label does not number its labels from 0")
    if not all(isinstance(name, str) for name in numbered.values()):
        raise UntrustedArtefact(CONFIG, "its id2label has a name that is not a text")
    return tuple(numbered[number] for number in range(len(numbered)))


def entailment_number(files: Path) -> int:
    """The number of an NLI model's label that means entailment; -1, the last, where none says so."""
    numbers = _config(files).get("label2id")
    if not isinstance(numbers, Mapping):
        numbers = {name: number for number, name in enumerate(read_labels(files))}
    for name, number in numbers.items():
        if name.lower().startswith("entail"):
            return int(number)
    return -1


def require_count(files: Path, expected: int) -> None:
    """Raises ``UntrustedArtefact`` when the model has another number of labels than the catalogue says."""
    found = len(read_labels(files))
    if found != expected:
        raise UntrustedArtefact(CONFIG, f"it has {found} labels where the catalogue has {expected}")


def _config(files: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((files / CONFIG).read_bytes())
    return config
