"""The whole analysis of one journal, part by part. Pure computation: a thread may run it, no I/O.

A part that breaks is named in ``failed`` and does not take the others with it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.journal.correlations import correlation_tests
from deployments.journal.entries import Journal
from deployments.journal.insight import insights
from deployments.journal.lexicon import WordCounts, count
from deployments.journal.personality import profile
from deployments.journal.prediction import Wanted, predict
from deployments.journal.temporal import temporal_tests
from deployments.journal.themes import Themes, find_themes, theme_tests
from deployments.journal.trend import trend_tests
from deployments.label_sets import EMOTIONS

logger = logging.getLogger("ray.serve.muster")
FEWEST = 5
"""Entries without which nothing is said at all."""
VERSION = 2
"""Of the formulas: part of the keys under which results are kept, so that a change is seen at once."""


@dataclass(frozen=True)
class Question:
    """One journal and what is wanted of it. ``parts``: of ``PARTS``."""

    journal: Journal
    parts: Sequence[str]
    timeframe: str = "all_time"
    detailed: bool = True
    wanted: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True)
class Found:
    """By part: its JSON, or the reason why there is none."""

    parts: Mapping[str, Any]
    failed: Mapping[str, str]


def analyse(question: Question) -> Found:
    """All parts that were asked for."""
    counts = count([entry.text for entry in question.journal.entries])
    parts: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name in question.parts:
        try:
            parts[name] = PARTS[name](question, counts)
        except Exception as error:  # noqa: BLE001 - whatever broke, the other parts are answered
            # By its type only: its text may be a writer's.
            logger.error("The journal analysis %s failed: %s.", name, type(error).__name__)
            failed[name] = "internal_error"
    return Found(parts, failed)


def _temporal(question: Question, counts: WordCounts) -> dict[str, Any]:
    journal = question.journal
    if journal.embeddings is None:
        themes = Themes(why="no model made embeddings")
    else:
        themes = find_themes(journal.embeddings, [entry.text for entry in journal.entries])
    tests = [*temporal_tests(journal), *trend_tests(journal), *correlation_tests(journal, counts.words)]
    tests += theme_tests(journal, themes)
    return {
        "insights": insights(journal, tests, themes, question.timeframe),
        "tests_done": len(tests),
        "themes": themes.to_json(journal),
        "measure": journal.feeling[0] if journal.feeling else None,
        "mood_summary": _summary(journal),
    }


def _summary(journal: Journal) -> dict[str, Any]:
    """Means over all entries; what is not known is left out."""
    found: dict[str, Any] = {}
    if journal.polarity is not None:
        found["sentiment"] = {
            "mean": float(journal.polarity.mean()),
            "standard_deviation": float(journal.polarity.std()),
        }
    if journal.emotions is not None:
        found["emotions"] = dict(zip(EMOTIONS, journal.emotions.mean(axis=0).tolist(), strict=True))
    return found


def _personality(question: Question, counts: WordCounts) -> dict[str, Any]:
    return profile(question.journal, counts, detailed=question.detailed)


def _predictive(question: Question, counts: WordCounts) -> dict[str, Any]:
    return predict(question.journal, counts, question.wanted)


PARTS: Mapping[str, Callable[[Question, WordCounts], dict[str, Any]]] = {
    "temporal": _temporal,
    "personality": _personality,
    "predictive": _predictive,
}
