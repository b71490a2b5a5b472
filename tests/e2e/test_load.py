"""Short forms of the checks of load: clients that leave, kept texts, journals, memory. Speed is `make prove`'s business."""

from pathlib import Path

from benchmarks.checks import cache, journal, memory, streams
from benchmarks.server import Server
from tests.e2e.test_api import holds


def test_cached_texts_are_kept_and_equal_ones_at_once_are_computed_once(server: Server, home: Path) -> None:
    holds(cache.one_text(server.port, home, requests=200))
    holds(cache.equal_texts(server.port, count=200))


def test_a_journal_is_computed_once_and_kept(server: Server, home: Path) -> None:
    holds(journal.measure(server.port, home, rounds=1, warm=20, count=40))


def test_distinct_texts_stream_through_within_the_bound_of_memory(server: Server) -> None:
    holds(memory.embeddings(server, texts=500))
    holds(memory.classification(server, texts=500))


def test_clients_that_leave_a_stream_leave_nothing_behind(server: Server) -> None:
    holds(streams.measure(server, drops=60, answers=2, firsts=0))
