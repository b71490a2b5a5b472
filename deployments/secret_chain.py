"""Secrets by name: cache, then Google's Secret Manager (where enabled), a secret file, the environment, a default.

An empty value is a missing one. What was found is kept for a while, and so is what was not; threads that ask for the same
secret at once look it up once. Where a secret came from can be told, its value cannot: it is a ``SecretStr`` all the way.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from deployments.errors import DeploymentError
from deployments.settings import SecretSettings, environment_secret

GCP_TIMEOUT_S = 5.0
MISSING_TTL_S = 30.0
LARGEST_BYTES = 65_536
_log = logging.getLogger("ray.serve.muster")


class SecretUnavailable(DeploymentError):
    """A source that must be asked did not answer. The message names the source and the secret."""

    code = "secret_unavailable"


@dataclass(frozen=True, slots=True)
class Found:
    """A secret and where it came from: ``gcp projects/p/secrets/s/versions/3``, ``file``, ``environment OPENAI_API_KEY``."""

    value: SecretStr
    source: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one walk through the sources brought. ``problems``: sources that could not say."""

    found: Found | None
    problems: tuple[str, ...] = ()


class Source(Protocol):
    """One place where secrets are."""

    def get(self, name: str) -> Found | None:
        """The secret, None when there is none of this name. Raises ``SecretUnavailable`` when it cannot say."""


class EnvironmentSource:
    """``MUSTER_<NAME>`` or ``<NAME>``."""

    def get(self, name: str) -> Found | None:
        held = environment_secret(name)
        return Found(SecretStr(held[0]), f"environment {held[1]}") if held else None


class FileSource:
    """One file a secret, as Docker and Kubernetes mount them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Found | None:
        path = self._folder / name
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                data = file.read(LARGEST_BYTES + 1)
            value = data.decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnavailable(f"The secret file {name} cannot be read: {type(error).__name__}.") from None
        if len(data) > LARGEST_BYTES:
            raise SecretUnavailable(f"The secret file {name} is larger than {LARGEST_BYTES} bytes.")
        return Found(SecretStr(value), "file") if value else None


class GcpSource:
    """Google's Secret Manager. The client is made when it is first needed; ``connect`` makes it."""

    def __init__(self, project: str, versions: Mapping[str, str], connect: Callable[[], Any] | None = None) -> None:
        self._project, self._versions = project, versions
        self._connect = connect or _gcp_client
        self._client: Any = None

    def get(self, name: str) -> Found | None:
        resource = f"projects/{self._project}/secrets/{name}/versions/{self._versions.get(name, 'latest')}"
        try:
            if self._client is None:
                self._client = self._connect()
            # The library's own patience is a minute for each secret.
            answer = self._client.access_secret_version(request={"name": resource}, timeout=GCP_TIMEOUT_S, retry=None)
        except Exception as error:  # noqa: BLE001 - the library is optional: its errors are known by name only
            if type(error).__name__ == "NotFound":
                return None
            raise SecretUnavailable(f"Secret Manager did not give {name}: {type(error).__name__}.") from None
        data = bytes(answer.payload.data)
        expected = getattr(answer.payload, "data_crc32c", None)
        if expected is not None and int(expected) != crc32c(data):
            raise SecretUnavailable(f"Secret Manager's answer for {name} arrived damaged.")
        try:
            value = data.decode().strip()
        except UnicodeDecodeError:
            raise SecretUnavailable(f"The secret {name} of Secret Manager is no text.") from None
        _log.info("secret %s is that of %s", name, answer.name)
        return Found(SecretStr(value), f"gcp {answer.name}") if value else None


class Secrets:
    """The chain. ``strict``: a source that cannot say ends the search instead of leaving it to the next one."""

    def __init__(
        self,
        sources: Sequence[Source],
        ttl_s: float = 300.0,
        *,
        strict: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources, self._ttl_s, self._strict, self._clock = sources, ttl_s, strict, clock
        self._kept: dict[str, tuple[float, Lookup]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, name: str, default: SecretStr | None = None) -> SecretStr | None:
        """The secret, else the default. May wait for a network: not for an event loop. Raises ``SecretUnavailable``
        where ``strict`` and the secret's place cannot be asked."""
        found = self._look(name).found
        if found is not None:
            return found.value
        return default if default is not None and default.get_secret_value().strip() else None

    def refresh(self, name: str) -> None:
        """Forget what is kept: the provider has refused it."""
        with self._guard:
            self._kept.pop(name, None)

    def provenance(self) -> dict[str, dict[str, Any]]:
        """Where each secret that was asked for came from; never a value."""
        with self._guard:
            kept = {name: lookup for name, (_, lookup) in self._kept.items()}
        return {
            name: {"source": lookup.found.source if lookup.found else None, "problems": list(lookup.problems)}
            for name, lookup in sorted(kept.items())
        }

    def _look(self, name: str) -> Lookup:
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            with self._guard:
                kept = self._kept.get(name)
            if kept and self._clock() < kept[0]:
                return kept[1]
            lookup = self._walk(name)
            ttl = self._ttl_s if lookup.found else min(MISSING_TTL_S, self._ttl_s)
            with self._guard:
                self._kept[name] = (self._clock() + ttl, lookup)
            return lookup

    def _walk(self, name: str) -> Lookup:
        problems = []
        for source in self._sources:
            try:
                found = source.get(name)
            except SecretUnavailable as error:
                if self._strict:
                    raise
                _log.warning("%s", error)
                problems.append(str(error))
                continue
            if found is not None:
                return Lookup(found, tuple(problems))
        return Lookup(None, tuple(problems))


def secrets_of(settings: SecretSettings) -> Secrets:
    """The chain that the settings describe. Raises ``SecretUnavailable`` when they are not complete."""
    sources: list[Source] = []
    if settings.gcp != "off":
        if not settings.gcp_project:
            raise SecretUnavailable("MUSTER_SECRETS_GCP needs a project: set MUSTER_SECRETS_GCP_PROJECT.")
        sources.append(GcpSource(settings.gcp_project, settings.versions))
    if settings.dir is not None:
        sources.append(FileSource(settings.dir))
    sources.append(EnvironmentSource())
    return Secrets(sources, settings.ttl_s, strict=settings.gcp == "strict")


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum that Secret Manager sends along."""
    import google_crc32c

    return int(google_crc32c.value(data))


def _gcp_client() -> Any:
    from google.cloud import secretmanager

    return secretmanager.SecretManagerServiceClient()
