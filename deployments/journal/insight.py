"""Insights: what is left of all tests of an analysis after the correction, with its evidence."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from deployments.journal.entries import Journal
from deployments.journal.finding import ALPHA, Finding, Tested
from deployments.journal.themes import SAMPLES, Themes, told
from deployments.multiple_tests import holm


def insights(
    journal: Journal, tests: Sequence[Tested], themes: Themes, timeframe: str, now: datetime | None = None
) -> list[dict[str, Any]]:
    """Tests that hold at 5 % after Holm's correction over all of them, the surest first; then the themes."""
    at = (now or datetime.now(UTC)).isoformat()
    corrected = holm([test.p for test in tests]) if tests else []
    held = sorted(zip(corrected, range(len(tests)), strict=True))
    found = [
        _insight(tests[i].kind, tests[i].tell(), tests[i].test, tests[i].p, p, timeframe, at)
        for p, i in held
        if p <= ALPHA
    ]
    against = f"silhouette against {SAMPLES} samples of chance"
    p = themes.p or 1.0
    return found + [_insight("theme", finding, against, p, p, timeframe, at) for finding in told(journal, themes)]


def _insight(
    kind: str, finding: Finding, test: str, p: float, corrected: float, timeframe: str, at: str
) -> dict[str, Any]:
    return {
        "insight_type": kind,
        "title": finding.title,
        "description": finding.description,
        "confidence": 1 - corrected,
        "significance": corrected,
        "timeframe": timeframe,
        "supporting_data": dict(finding.data),
        "evidence": {
            "entry_ids": list(finding.entries),
            "effect": asdict(finding.effect),
            "test": test,
            "p_value": p,
            "p_corrected": corrected,
        },
        "recommendations": list(finding.recommendations),
        "metadata": {"entries": len(finding.entries)},
        "created_at": at,
    }
