"""Who may come in: hashed keys from a file, or, without keys, only this machine's own programs.

The file holds one JSON object per line (lines starting with ``#`` are comments)::

    {"id": "k3v9q0", "tenant": "north", "sha256": "<64 hex>", "scopes": ["infer"], "expires": "2027-01-01T00:00Z"}

A key reads ``muster_<id>_<secret>``. The secret has 256 random bits, so that a plain SHA-256 cannot be guessed and no
slow hash is needed. Several keys may share a tenant: that is how a key is replaced without a gap.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from serve_app.errors import SettingsError, Unauthenticated

Scope = Literal["infer", "admin", "metrics"]
TENANT = r"^[a-z0-9][a-z0-9._-]{0,63}$"
NO_DIGEST = "0" * 64
CHECK_EVERY_S = 1.0
_KEY = re.compile(r"^muster_([a-z0-9]{6,32})_([A-Za-z0-9_-]{20,128})$")
_log = logging.getLogger("ray.serve.muster")


class StoredKey(BaseModel):
    """One line of the keys file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9]{6,32}$")
    tenant: str = Field(pattern=TENANT)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = ("infer",)
    expires: AwareDatetime | None = None

    def valid_at(self, now: datetime) -> bool:
        """Whether the key has not expired."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. ``admin`` includes the other scopes. ``key``: the id of the key, empty where no keys are configured."""

    tenant: str
    scopes: frozenset[str]
    key: str = ""

    def may(self, scope: str | None) -> bool:
        """Whether this identity has the scope; None asks for a valid key only."""
        return scope is None or scope in self.scopes or "admin" in self.scopes


ANYONE = Identity("default", frozenset({"infer", "admin", "metrics"}))
"""Everybody's identity where no keys are configured; the Host and Origin checks stand in for the key."""


def create_key(
    tenant: str, scopes: tuple[Scope, ...] = ("infer",), expires: datetime | None = None
) -> tuple[str, StoredKey]:
    """A new key and the line to store for it. The key itself is stored nowhere: show it once."""
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    stored = StoredKey(id=key_id, tenant=tenant, sha256=_digest(secret), scopes=scopes, expires=expires)
    return f"muster_{key_id}_{secret}", stored


def append_key(path: Path, key: StoredKey) -> None:
    """Add a key to the file, which only its owner may read."""
    path.touch(mode=0o600, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(key.model_dump_json(exclude_none=True) + "\n")


def read_keys(path: Path) -> dict[str, StoredKey]:
    """The file's keys by id. Raises ``SettingsError`` naming the line, never its content."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The keys file {path} cannot be read: {type(error).__name__}.") from None
    keys: dict[str, StoredKey] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            key = _parse(path, number, line)
            if key.id in keys:
                raise SettingsError(f"The keys file {path} has the id of line {number} twice.")
            keys[key.id] = key
    return keys


def _parse(path: Path, number: int, line: str) -> StoredKey:
    try:
        return StoredKey.model_validate_json(line)
    except ValidationError as error:
        fields = sorted({".".join(map(str, e["loc"])) or "JSON" for e in error.errors(include_input=False)})
        raise SettingsError(f"The keys file {path} is wrong in line {number}: {', '.join(fields)}.") from None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyRing:
    """The keys of one file, read again when the file changes. A broken file keeps the last good keys in force."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._next_check = 0.0
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, StoredKey] = {}
        self.problem: str | None = None
        if path is not None:
            self._stamp = _stamp(path)
            self._keys = read_keys(path)

    @property
    def configured(self) -> bool:
        """Whether keys are demanded; stays true when the file becomes empty."""
        return self._path is not None

    @property
    def tenants(self) -> list[str]:
        """Everybody who has a key; the one tenant there is where none are demanded."""
        return sorted({key.tenant for key in self._keys.values()}) if self.configured else [ANYONE.tenant]

    def identify(self, authorization: str | None) -> Identity:
        """The identity behind an Authorization header. Raises ``Unauthenticated``."""
        if self._path is None:
            return ANYONE
        self._reload(self._path)
        scheme, _, token = (authorization or "").partition(" ")
        match = _KEY.match(token.strip()) if scheme.lower() == "bearer" else None
        key_id, secret = match.groups() if match else ("", "")
        stored = self._keys.get(key_id)
        # An unknown id costs the same hash and comparison as a known one, so that time tells nothing about ids.
        same = hmac.compare_digest(_digest(secret), stored.sha256 if stored else NO_DIGEST)
        if stored is None or not same or not stored.valid_at(datetime.now(UTC)):
            raise Unauthenticated()
        return Identity(stored.tenant, frozenset(stored.scopes), stored.id)

    def _reload(self, path: Path) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_EVERY_S
        stamp = _stamp(path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys, self.problem = read_keys(path), None
        except SettingsError as error:
            self.problem = str(error)
            _log.error("keeping the last good keys: %s", error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None when it is missing."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
