"""Game events in, the 9 behavioural features out: the only way to them, for a request and for a training file alike.

Pure, with the clock as an argument. Events may come in any order; what counts is when they happened (and their id, where
that is the same). Only the newest ``MAX_EVENTS`` of the last ``days`` are read. A feature that nothing was observed of is
left out: nobody who never retried has a recovery rate.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from deployments.skills.events import (
    COLLABORATION,
    DISTRACTIONS,
    LEADERSHIP,
    TASK_COMPLETED,
    TASK_FAILED,
    TASK_RETRIED,
    TASK_STARTED,
    TASK_TYPES,
    Event,
)

MAX_EVENTS = 5_000
DAY_S = 86_400.0
LONGEST_GAP_S = 300.0
"""Silence that ends a stretch of focused work."""
LONGEST_FOCUS_S = 86_400.0
FASTEST = 10.0
"""Upper end of time_efficiency."""
Task = tuple[str | None, str | None]
"""A task is known by its mission and its own id."""


def kept(events: Iterable[Event], now: float, days: float) -> list[Event]:
    """The events that count, oldest first: the newest of the last ``days``."""
    since = now - days * DAY_S
    return sorted((event for event in events if event.at >= since), key=_order)[-MAX_EVENTS:]


def aggregate(events: Iterable[Event], now: float, days: float) -> dict[str, float]:
    """The observed features by name, in the units of ``features``; empty when no event counts."""
    counted = kept(events, now, days)
    if not counted:
        return {}
    total = len(counted)
    kinds = [event.kind for event in counted]
    tasks = _by_task(counted)
    retries = kinds.count(TASK_RETRIED)
    features = {
        "task_completion_rate": _completion(tasks),
        "time_efficiency": _efficiency(tasks),
        "retry_count": float(retries),
        "recovery_rate": sum(map(_recoveries, tasks.values())) / retries if retries else None,
        "distraction_resistance": 1.0 - sum(kind in DISTRACTIONS for kind in kinds) / total,
        "focus_duration": _focus(counted),
        "collaboration_indicators": float(sum(kind in COLLABORATION for kind in kinds)),
        "leadership_indicators": float(sum(kind in LEADERSHIP for kind in kinds)),
        "event_count": float(total),
    }
    return {name: value for name, value in features.items() if value is not None}


def _order(event: Event) -> tuple[float, str]:
    return event.at, event.event_id


def _by_task(events: Sequence[Event]) -> Mapping[Task, list[Event]]:
    tasks: dict[Task, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind in TASK_TYPES:
            tasks[event.mission, event.task].append(event)
    return tasks


def _completion(tasks: Mapping[Task, Sequence[Event]]) -> float | None:
    """Tasks that were completed at least once, of all tasks that were met."""
    completed = sum(any(event.kind == TASK_COMPLETED for event in events) for events in tasks.values())
    return completed / len(tasks) if tasks else None


def _efficiency(tasks: Mapping[Task, Sequence[Event]]) -> float | None:
    """Expected seconds of the completions whose both times are known, over the seconds they took."""
    expected = taken = 0.0
    for events in tasks.values():
        started, hoped = None, None
        for event in events:
            hoped = event.expected_s or hoped
            if event.kind in (TASK_STARTED, TASK_RETRIED):
                started = event.at
            elif event.kind == TASK_COMPLETED:
                took = event.taken_s or (event.at - started if started is not None else None)
                if hoped and took:
                    expected, taken = expected + hoped, taken + took
                started = None
    return min(FASTEST, expected / taken) if taken else None


def _recoveries(events: Sequence[Event]) -> int:
    """Retries of one task that led to its completion before it failed or was tried again."""
    recovered, trying = 0, False
    for event in events:
        if event.kind == TASK_RETRIED:
            trying = True
        elif event.kind == TASK_COMPLETED:
            recovered, trying = recovered + trying, False
        elif event.kind == TASK_FAILED:
            trying = False
    return recovered


def _focus(events: Sequence[Event]) -> float | None:
    """The mean length of stretches of activity, seconds: within a session, ended by a distraction or by silence."""
    stretches: list[float] = []
    running: dict[str, tuple[float, float]] = {}
    for event in events:
        begun = running.pop(event.session, None)
        if begun is not None and event.at - begun[1] > LONGEST_GAP_S:
            stretches.append(begun[1] - begun[0])
            begun = None
        if event.kind in DISTRACTIONS:
            if begun is not None:
                stretches.append(event.at - begun[0])
            continue
        running[event.session] = (event.at if begun is None else begun[0], event.at)
    stretches.extend(last - first for first, last in running.values())
    observed = [length for length in stretches if length > 0]
    return min(LONGEST_FOCUS_S, sum(observed) / len(observed)) if observed else None
