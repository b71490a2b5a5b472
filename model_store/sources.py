"""Where a model's files come from. A source opens files by name; it never imports or executes what it finds."""

import os
import stat
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import BinaryIO, Protocol

from model_store.catalogue import HubSource, ModelSpec, PackageSource, ShippedSource
from model_store.errors import SourceUnavailable


class Source(Protocol):
    """A place that has a model's files."""

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading. Raises ``SourceUnavailable``."""


class LocalFolder:
    """A folder of plain files; symbolic links are refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str) -> BinaryIO:
        path = self._folder / name
        try:
            # Not blocking: a FIFO in a stranger's folder would wait for a writer for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceUnavailable(f"{path} cannot be read as a plain file: {error.strerror}.") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SourceUnavailable(f"{path} is not a plain file.")
        return os.fdopen(descriptor, "rb")


class InstalledPackage:
    """A folder inside an installed distribution, found through its metadata, so that none of its code runs."""

    def __init__(self, package: str, folder: str) -> None:
        try:
            self._inner = LocalFolder(Path(str(distribution(package).locate_file(folder))))
        except PackageNotFoundError as error:
            raise SourceUnavailable(
                f"The package {package!r} is not installed; it carries the model's files."
            ) from error

    def open(self, name: str) -> BinaryIO:
        return self._inner.open(name)


def source_of(spec: ModelSpec) -> Source:
    """The source that a catalogue entry names. Raises ``SourceUnavailable``."""
    if isinstance(spec.source, HubSource):
        raise SourceUnavailable(f"{spec.key} is not in the store; `muster models pull {spec.key}` fetches it.")
    if isinstance(spec.source, PackageSource):
        return InstalledPackage(spec.source.package, spec.source.folder)
    if isinstance(spec.source, ShippedSource):
        return LocalFolder(Path(__file__).parent / spec.source.shipped)
    return LocalFolder(spec.source.path)
