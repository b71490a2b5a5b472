"""The shapes of health and readiness, for the OpenAPI document; no answer passes these models."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The process is up."""

    status: Literal["healthy"]


class Readiness(BaseModel):
    """Whether the main job answers. ``waiting_for``: names of applications."""

    status: Literal["ready", "loading"]
    waiting_for: list[str]


class HealthReport(BaseModel):
    """Every component with its status and why."""

    status: Literal["healthy", "degraded", "unhealthy"]
    missing: list[str]
    components: dict[str, Any]
    version: str
    python_version: str
    timestamp: datetime
