"""From entries as they are sent to entries as they are computed with."""

from collections.abc import Sequence

from deployments.errors import InvalidInput
from deployments.journal.entries import Entry, parse_moment
from serve_app.api.embeddings import check_text
from serve_app.api.journal_schemas import JournalEntry


def parse_entries(given: Sequence[JournalEntry], longest: int) -> list[Entry]:
    """Entries as they are computed with. Raises ``InvalidInput`` for a wrong moment, NUL, or an id that is there twice."""
    seen: set[str] = set()
    entries = []
    for index, each in enumerate(given):
        path = f"entries[{index}]"
        check_text(each.text, longest, f"{path}.text")
        if each.id in seen:
            raise InvalidInput("This id is there twice.", f"{path}.id")
        seen.add(each.id)
        entries.append(Entry(each.id, each.text, parse_moment(each.created_at, f"{path}.created_at"), each.mood))
    return entries
