"""How the two processes of ``make test`` share the tests: one has the whole end-to-end tier, whose Muster is the session's
and mostly waits for replicas; the other takes file after file of the rest, so that what a file builds is built once."""

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = Path(item.fspath)
        item.add_marker(pytest.mark.xdist_group("e2e" if "e2e" in path.parts else path.stem))
