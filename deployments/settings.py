"""How replicas run on this machine. The only module on this floor that reads the environment (prefix ``MUSTER_``)."""

import os
import tempfile
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


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


def load_settings() -> DeploymentSettings:
    """Read the environment now; nothing is cached."""
    return DeploymentSettings()
