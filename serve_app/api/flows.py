"""What the journal, the chat and the clinical reports can do now, for ``/v1/capabilities``."""

from collections.abc import Mapping
from typing import Any

from deployments.call import ModelState
from serve_app.api.journal_flow import APPLICATION as JOURNAL
from serve_app.api.roles import ABSENT
from serve_app.api.services import Services

_NOT_KEPT = "without Redis nothing is kept"


def flows(
    services: Services, states: Mapping[str, ModelState], chat: Mapping[str, Any], *, keeps: bool
) -> dict[str, Any]:
    """Each flow: whether it answers, who may write its words, and what it lacks. ``chat``: that role's state; ``keeps``:
    whether Redis answers."""
    journal, words = states.get(JOURNAL, ABSENT), services.words.describe()
    asked = words["reason"] is None or words["breaker"] == "half_open"
    by_llm = ["llm"] if words["configured"] and asked else []
    by_model = ["model"] if chat["state"] == "ready" else []
    lacking = [words["reason"]] if words["reason"] else []
    return {
        "journal": _flow(journal.state == "ready", [], [journal.reason], keeps=keeps),
        "chat": _flow(True, [*by_model, *by_llm, "template"], lacking, keeps=keeps),
        "clinical": _flow(True, [*by_llm, "template"], lacking, keeps=keeps),
    }


def _flow(available: bool, writers: list[str], lacking: list[str | None], *, keeps: bool) -> dict[str, Any]:
    reasons = [reason for reason in (*lacking, None if keeps else _NOT_KEPT) if reason]
    return {"available": available, "stores": keeps, "writers": writers, "reason": "; ".join(reasons) or None}
