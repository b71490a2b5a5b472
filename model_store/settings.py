"""Where this machine keeps Muster's files. The only module on this floor that reads the environment."""

import os
import sys
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """``<checkout>/.muster`` in a source checkout, else the user's data folder."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".muster"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "muster"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "muster"


class StoreSettings(BaseSettings):
    """``home`` (``MUSTER_HOME``) is the data folder; everything else lies below it.

    ``signing_key`` (``MUSTER_SIGNING_KEY``): a public Ed25519 key in PEM; when it is set, only signed models serve.
    """

    model_config = SettingsConfigDict(env_prefix="MUSTER_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    signing_key: Path | None = None

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        """The same folder from every directory that a command or a replica may run in."""
        return home.expanduser().resolve()

    @property
    def store_dir(self) -> Path:
        return self.home / "store"

    @property
    def skills_dir(self) -> Path:
        return self.store_dir / "skills"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"


def load_settings() -> StoreSettings:
    """Read the environment now; nothing is cached."""
    return StoreSettings()
