"""How replicas run on this machine. The only module on this floor that reads the environment (prefix ``MUSTER_``)."""

import ipaddress
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

OPENAI = "https://api.openai.com/v1"


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_gate_dir() -> Path:
    """The same short path for every process of this user on this node, whatever session started it."""
    return Path(tempfile.gettempdir()) / f"muster-{os.getuid()}" / "gate"


class DeploymentSettings(BaseSettings):
    """``threads``: compute threads of one forward pass (default: all cores); ``token_budget``: padded tokens of one.

    ``spin_us``: microseconds that ONNX Runtime's threads spin between the operators of a pass before they sleep. Short
    spinning makes a pass of few tokens 10 to 20 % faster; unbounded, it takes the cores from the other processes.

    ``kv_mb``: MiB for the keys and values of a replica's running generations, and so the bound of prompts and answers on
    their way (default: 512, or on a GPU 0.6 of what the weights leave of the replica's share).

    ``gate_dir``: lock files of the node's CPU gate. ``redis_url``: None where the embedded Redis or memory is used.
    """

    model_config = SettingsConfigDict(env_prefix="MUSTER_", frozen=True, extra="ignore")

    threads: int = Field(default_factory=cores, ge=1)
    token_budget: int = Field(default=512, ge=1)
    spin_us: int = Field(default=50, ge=0)
    kv_mb: int | None = Field(default=None, ge=1)
    gate_dir: Path = Field(default_factory=default_gate_dir)
    redis_url: SecretStr | None = None

    @property
    def gate_slots(self) -> int:
        """Forward passes that this node computes at the same time."""
        return max(1, cores() // self.threads)


class ReasoningSettings(BaseSettings):
    """Who writes the words of an assessment. ``mode``: ``off`` is the template alone; ``optional`` asks a language model and
    takes the template where that does not answer; ``required`` also refuses to start without a valid key.

    ``url``: OpenAI or anything compatible with it; chosen by the operator alone. ``per_minute``, ``per_hour``: hard limits
    over all replicas, which can only be lowered. ``limiter``: ``memory`` is for one single replica without Redis.
    ``daily_usd``, ``monthly_usd``: budgets; None: none.
    """

    model_config = SettingsConfigDict(
        env_prefix="MUSTER_REASONING_",
        frozen=True,
        extra="ignore",
        validate_by_name=True,
        validate_by_alias=True,
        # A wrong address may have a password in it.
        hide_input_in_errors=True,
    )

    mode: Literal["off", "optional", "required"] = Field(default="off", validation_alias="MUSTER_REASONING")
    url: str = OPENAI
    model: str = Field(default="gpt-4o-mini", min_length=1, max_length=200)
    timeout_s: float = Field(default=20.0, gt=0, le=120)
    concurrency: int = Field(default=8, ge=1, le=64)
    max_tokens: int = Field(default=500, ge=50, le=8000)
    max_prompt_tokens: int | None = Field(default=None, ge=100)
    temperature: float | None = Field(default=0.3, ge=0, le=2)
    per_minute: int = Field(default=50, ge=1, le=50)
    per_hour: int = Field(default=500, ge=1, le=500)
    limiter: Literal["redis", "memory"] = "redis"
    daily_usd: float | None = Field(default=None, gt=0)
    monthly_usd: float | None = Field(default=None, gt=0)
    prices: Path | None = None
    tiktoken_dir: Path | None = None
    cache_ttl_s: int = Field(default=7 * 86_400, ge=0)

    @field_validator("url")
    @classmethod
    def _safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError("must be the https:// address of a provider")
        if parts.scheme == "http" and not is_local(url):
            raise ValueError("must be https://: the key would cross the network in the clear")
        return url.rstrip("/")

    @field_validator("temperature", mode="before")
    @classmethod
    def _unset(cls, value: Any) -> Any:
        """``none`` leaves it out: some models refuse any."""
        return None if value in ("none", "") else value


class SecretSettings(BaseSettings):
    """Where secrets come from. ``gcp``: ``on`` asks Google's Secret Manager first and goes on when it fails; ``strict`` goes
    on only when it says that there is no such secret. ``dir``: a folder with one file a secret. ``versions``: pinned
    versions, ``openai-api-key=3``, commas between; others are ``latest``."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_SECRETS_", frozen=True, extra="ignore")

    gcp: Literal["off", "on", "strict"] = "off"
    gcp_project: str | None = None
    dir: Path | None = None
    ttl_s: float = Field(default=300.0, ge=0)
    versions: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)

    @field_validator("versions", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.split("=", 1) for part in value.split(",") if part.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("must be name=version, commas between")
        return {name.strip(): version.strip() for name, version in pairs}


def is_local(url: str) -> bool:
    """Whether an address can only be this machine."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def environment_secret(name: str) -> tuple[str, str] | None:
    """A secret from the environment with its variable: ``openai-api-key`` is MUSTER_OPENAI_API_KEY or OPENAI_API_KEY."""
    plain = name.upper().replace("-", "_")
    for variable in (f"MUSTER_{plain}", plain):
        if value := os.environ.get(variable, "").strip():
            return value, variable
    return None


@contextmanager
def tiktoken_folder(folder: Path) -> Iterator[None]:
    """tiktoken finds its tables in this folder; it knows no other way to be told than the environment."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def load_settings() -> DeploymentSettings:
    """Read the environment now; nothing is cached."""
    return DeploymentSettings()
