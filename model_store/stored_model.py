"""A model of the store as engines open it: where it lies, which revision and precision it is, and what was made from it."""

from dataclasses import dataclass
from pathlib import Path

from model_store import convert
from model_store.catalogue import ModelSpec
from model_store.errors import ConversionFailed
from model_store.lock import Artefact, Precision


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A verified model on disk; ``artefact`` is None for a family that is not converted. ``heads``: light heads on it.

    ``revision``: of the answers too. In fewer bits it ends with ``+int8`` or ``+fp16``, so that whatever is kept by
    revision is kept apart.
    """

    key: str
    id: str
    revision: str
    folder: Path
    artefact: Artefact | None
    precision: Precision = "fp32"
    heads: tuple[ModelSpec, ...] = ()

    @property
    def files(self) -> Path:
        """The model's files as its source has them."""
        return self.folder / "files"

    @property
    def task(self) -> str:
        """What the model is for, a ``Task`` of the catalogue; only embedding models may have no artefact."""
        return self.artefact.made_with.get("task", "embedding") if self.artefact else "embedding"

    def artefact_dir(self) -> Path:
        """What was made from the files, as this release makes it and proved with the installed runtime.

        Raises ``ConversionFailed``.
        """
        if self.artefact is None:
            raise ConversionFailed(f"Model {self.key!r} is of a family that has no exported graph.")
        made, runtime = self.artefact.made_with, convert.runtime()
        if (made["recipe"], made["runtime"]) != (convert.RECIPE, runtime):
            raise ConversionFailed(
                f"Model {self.key!r} was made by another release or not proved with {runtime} yet; "
                f"`muster models adopt {self.key}` makes it again."
            )
        return self.folder / self.artefact.folder
