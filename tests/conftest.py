"""How the two processes of ``make test`` share the tests: one has the whole end-to-end tier, whose Muster is the session's
and mostly waits for replicas; the other takes file after file of the rest, so that what a file builds is built once."""

from pathlib import Path

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """As early as that: the processes read the groups before any ``pytest_collection_modifyitems`` of ours."""
    path = Path(item.fspath)
    item.add_marker(pytest.mark.xdist_group("e2e" if "e2e" in path.parts else path.stem))
