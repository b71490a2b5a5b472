"""What can be said of a list of medications from the list alone. No interactions, no doses, no knowledge of substances."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

MANY = 5
"""Five or more at once are commonly called polypharmacy."""
ADHERENT = 0.8
"""A usual threshold for taking a medicine as agreed."""


@dataclass(frozen=True, slots=True)
class Medication:
    """One entry as it was given. ``adherence``: the share taken, 0 to 1."""

    name: str
    dose: str | None = None
    frequency: str | None = None
    started: date | None = None
    stopped: date | None = None
    adherence: float | None = None

    def active_on(self, day: date) -> bool:
        return (self.started is None or self.started <= day) and (self.stopped is None or self.stopped >= day)


@dataclass(frozen=True, slots=True)
class Note:
    """``medications``: the places in the list that it is about."""

    kind: Literal["duplicate", "incomplete", "adherence", "many", "recent_start", "recent_stop"]
    text: str
    medications: tuple[int, ...]


RECENT_DAYS = 30


def notes_on(medications: Sequence[Medication], day: date) -> list[Note]:
    """Notes as of ``day``; texts name no medication, so that they can be told without one."""
    active = [index for index, each in enumerate(medications) if each.active_on(day)]
    notes = [*_duplicates(medications, active)]
    for index in active:
        each = medications[index]
        missing = [what for what, value in (("dose", each.dose), ("frequency", each.frequency)) if not value]
        if missing:
            notes.append(Note("incomplete", f"No {' and no '.join(missing)} is given.", (index,)))
        if each.adherence is not None and each.adherence < ADHERENT:
            taken = f"{each.adherence:.0%}"
            notes.append(Note("adherence", f"Taken {taken} of the time, less than the usual {ADHERENT:.0%}.", (index,)))
        if each.started and 0 <= (day - each.started).days <= RECENT_DAYS:
            notes.append(
                Note(
                    "recent_start", f"Started {(day - each.started).days} days before the end of the period.", (index,)
                )
            )
    for index, each in enumerate(medications):
        if each.stopped and 0 < (day - each.stopped).days <= RECENT_DAYS:
            notes.append(
                Note("recent_stop", f"Stopped {(day - each.stopped).days} days before the end of the period.", (index,))
            )
    if len(active) >= MANY:
        notes.append(Note("many", f"{len(active)} medications at the same time.", tuple(active)))
    return notes


def _duplicates(medications: Sequence[Medication], active: Sequence[int]) -> list[Note]:
    places: dict[str, list[int]] = {}
    for index in active:
        places.setdefault(" ".join(medications[index].name.casefold().split()), []).append(index)
    return [
        Note("duplicate", "The same name is on the list more than once.", tuple(indices))
        for indices in places.values()
        if len(indices) > 1
    ]
