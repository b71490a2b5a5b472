"""The top floor's settings, and the only reader of the environment on this floor (prefix ``MUSTER_``)."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from serve_app.errors import SettingsError

MIB = 1024 * 1024
Names = Annotated[tuple[str, ...], NoDecode]


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """Where things are on this machine and who may come in."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on. Anything but loopback needs a keys file.")
    port: int = Field(8000, ge=1, le=65_535, description="Port to listen on.")
    num_gpus: int | None = Field(
        None, ge=0, le=1024, description="GPUs that Ray counts on, real or logical. Unset: what it finds."
    )
    keys_file: Path | None = Field(None, description="File of hashed keys. Unset: one tenant, this machine only.")
    allowed_hosts: Names = Field((), description="Host names accepted without keys, besides loopback; commas between.")
    allowed_origins: Names = Field((), description="Web origins accepted without keys, besides the server's own.")
    redis_url: SecretStr | None = Field(None, description="redis://, rediss:// or unix://. Unset: no stored data.")
    max_body_bytes: int = Field(16 * MIB, ge=1024, le=1024 * MIB, description="Largest request body.")
    max_inflight_bytes: int = Field(
        128 * MIB, ge=MIB, le=1024 * 1024 * MIB, description="Bodies held at the same time by one gateway process."
    )
    max_text_chars: int = Field(1_000_000, ge=1, le=100_000_000, description="Longest single text, characters.")
    default_deadline_ms: int = Field(30_000, ge=1, le=300_000, description="Deadline of a request that names none.")
    max_deadline_ms: int = Field(300_000, ge=1, le=300_000, description="Longest deadline a client may ask for.")
    ready_roles: Names = Field(("embedding",), description="Roles whose models must answer before /readiness says so.")
    cache_bytes: int = Field(
        64 * MIB, ge=0, le=64 * 1024 * MIB, description="Answers kept in the memory of one gateway process; 0: none."
    )
    cache_ttl_s: int = Field(3600, ge=1, le=30 * 86_400, description="Longest age of a kept answer.")
    cache_slots: int = Field(
        20_000, ge=0, le=10_000_000, description="Answers of up to 16 KiB kept in Redis for one tenant; 0: none."
    )
    journal_retention_days: int = Field(730, ge=1, le=36_500, description="Days that a journal entry is held.")
    journal_max_entries: int = Field(10_000, ge=1, le=1_000_000, description="Entries of one user's journal.")
    remote_models: Names = Field(
        (),
        description="Keys of models that a remote provider may answer for while the local ones cannot; commas between.",
    )
    remote_token: SecretStr | None = Field(None, description="The provider's access token.")
    remote_url: str = Field(
        "https://router.huggingface.co", description="The provider: Hugging Face's router, or its like."
    )
    fusion_weights: Path | None = Field(
        None, description="File of the fusion weights. Unset: fusion-weights.json of the data folder, if it is there."
    )
    event_days: int = Field(90, ge=1, le=3650, description="Days that game events are kept.")
    transcript_sentiment: Literal["vader", "hosted"] = Field(
        "vader", description="Tone of transcripts: VADER's word list, or the model that plays the role `sentiment`."
    )
    spacy_model: Path | None = Field(
        None, description="Folder of an English spaCy pipeline. Unset: transcripts take the light path."
    )
    redis_connections: int = Field(
        32, ge=1, le=1000, description="Connections to Redis of one gateway process, at most."
    )
    help_country: str | None = Field(
        None, pattern=r"^[A-Za-z]{2}$", description="Country of the chat's help lines where a request names none."
    )
    help_lines: Path | None = Field(None, description="File of help lines, before those that come with Muster.")
    chat_ttl_s: int = Field(3600, ge=60, le=30 * 86_400, description="Life of a chat's history after its last turn.")
    chat_context_tokens: int = Field(
        1500, ge=200, le=100_000, description="Tokens of instructions, history and message for a chat's reply."
    )
    report_ttl_s: int = Field(86_400, ge=60, le=30 * 86_400, description="Life of a stored clinical report.")
    access_log: Path | None = Field(
        None, description="File of the access log. Unset: logs/access.log of the data folder."
    )

    @field_validator("allowed_hosts", "allowed_origins", "ready_roles", "remote_models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """``a, b`` from the environment, or a sequence from code."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        if self.keys_file is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is reachable from outside and no keys are configured: set MUSTER_KEYS_FILE"
            )
        return self

    @model_validator(mode="after")
    def _remote_is_complete(self) -> Self:
        url = urlsplit(self.remote_url)
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.username:
            raise ValueError("remote_url must be the https:// address of a provider")
        if url.scheme == "http" and not is_loopback(url.hostname):
            raise ValueError("remote_url must be https://: the token would cross the network in the clear")
        if self.remote_models and self.remote_token is None:
            raise ValueError("remote_models needs a token: set MUSTER_REMOTE_TOKEN")
        return self


class ClientSettings(BaseSettings):
    """Where the ``muster`` command finds a running Muster, and what key it shows."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_", extra="ignore", frozen=True)

    url: str | None = Field(None, description="Address of a running Muster. Unset: the one of this data folder.")
    key: SecretStr | None = Field(None, description="API key that the command line sends.")


def load_settings(**overrides: Any) -> Settings:
    """Read the environment. Raises ``SettingsError`` naming each wrong setting, without its value."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors(include_input=False)]
        raise SettingsError("; ".join(lines)) from None
