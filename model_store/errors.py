"""The root of Muster's errors, and the store's branch.

    MusterError                      every error that Muster raises on purpose
    └── ModelStoreError
        ├── CatalogueError           catalogue.yaml is wrong
        ├── UnknownModel             no such key, id or role in the catalogue
        ├── ModelNotPulled           known, but its files are not in the store
        │   └── NoSkillModels        no skill models were trained yet (skill_records)
        ├── TamperedModel            a file differs from its locked sha256, is missing, or is not a plain file
        │   └── TamperedSkills       the same of a skill bundle (skill_records)
        ├── UntrustedArtefact        a model's file is of a kind, or says something, that may not enter the store
        ├── SourceUnavailable        the place the model comes from has not got it
        │   ├── HubUnavailable       the hub did not answer well, however often it was asked
        │   └── GatedModel           its licence must be accepted first, by a person
        ├── DiskFull                 the model would not fit on the disk
        ├── UnusableKey              a key file that is no Ed25519 key (signing)
        ├── StoreBusy                another process is changing the store
        ├── PlanRefused              the machine cannot carry the plan, or writing it would destroy something
        │   └── EmbeddingChanged     data was made with another embedding model
        ├── ConversionFailed         the exported graph could not be made or does not equal the reference
        └── GateClosed               fewer bits were asked for, and the accuracy gate does not allow them here

Standard library only. Every error passes all its arguments to ``Exception.__init__`` so that it survives pickling.
Messages name models, files and numbers; never a client's text.
"""


class MusterError(Exception):
    """Base of every deliberate error; ``str(error)`` is safe to show to a client."""


class ModelStoreError(MusterError):
    """Base of the store's errors."""


class CatalogueError(ModelStoreError):
    """The catalogue file is malformed; the message names the entry and the field."""


class UnknownModel(ModelStoreError):
    """No catalogue key, Hugging Face id or role has this name."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        hint = f" Known: {', '.join(self.known)}." if self.known else ""
        return f"There is no model {self.name!r}.{hint}"


class ModelNotPulled(ModelStoreError):
    """The model is in the catalogue but its files are not in the store."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"Model {self.key!r} is not in the store. Run `muster up`, or adopt it first."


class TamperedModel(ModelStoreError):
    """A stored file is not what the lock says; the model must not serve."""

    def __init__(self, key: str, file: str, reason: str) -> None:
        super().__init__(key, file, reason)
        self.key, self.file, self.reason = key, file, reason

    def __str__(self) -> str:
        return f"Model {self.key!r} refuses to serve: {self.file}: {self.reason}. Remove it and adopt it again."


class UntrustedArtefact(ModelStoreError):
    """A file of a model may not enter the store, whoever wrote it. The reason never quotes its content."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file, self.reason = file, reason

    def __str__(self) -> str:
        return f"The model is not trusted: {self.file}: {self.reason}."


class SourceUnavailable(ModelStoreError):
    """The model's source (an installed package, a folder) has not got the files."""


class HubUnavailable(SourceUnavailable):
    """The hub failed every time it was asked."""

    def __init__(self, repo: str, attempts: int, last: str) -> None:
        super().__init__(repo, attempts, last)
        self.repo, self.attempts, self.last = repo, attempts, last

    def __str__(self) -> str:
        return (
            f"The hub did not give {self.repo} in {self.attempts} attempts (last: {self.last}). "
            "What is complete is kept; pull again to go on."
        )


class GatedModel(SourceUnavailable):
    """The repository's licence must be accepted by a person, and the token must be that person's."""

    def __init__(self, repo: str) -> None:
        super().__init__(repo)
        self.repo = repo

    def __str__(self) -> str:
        return (
            f"{self.repo} is gated: accept its licence at https://huggingface.co/{self.repo} "
            "and set HF_TOKEN to a token of that account."
        )


class DiskFull(ModelStoreError):
    """Not enough room; figures in bytes."""

    def __init__(self, needed: int, free: int, place: str) -> None:
        super().__init__(needed, free, place)
        self.needed, self.free, self.place = needed, free, place

    def __str__(self) -> str:
        return f"{self.place} has {self.free / 2**30:.1f} GiB free, the pull needs {self.needed / 2**30:.1f} GiB."


class StoreBusy(ModelStoreError):
    """Another process holds the store's lock."""


class PlanRefused(ModelStoreError):
    """A plan that must not be written; the message says what to do."""


class EmbeddingChanged(PlanRefused):
    """The plan's embedding model is not the one that existing data was made with."""

    def __init__(self, made_with: str, planned: str) -> None:
        super().__init__(made_with, planned)
        self.made_with, self.planned = made_with, planned

    def __str__(self) -> str:
        return (
            f"Data was made with {self.made_with}; the plan has {self.planned}, and vectors of the two cannot be "
            "compared. Keep the old model (`muster plan --only`), or force it (`muster plan --write --force`, "
            "change_embedding: true in the topology) and embed everything again."
        )


class ConversionFailed(ModelStoreError):
    """The exported artefact could not be made, or differs from the reference."""


class GateClosed(ModelStoreError):
    """A model was to serve in fewer bits and may not: ``why`` ends with what to do, where something can be done."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why

    def __str__(self) -> str:
        return f"Model {self.key!r} does not serve in fewer bits here: {self.why}."
