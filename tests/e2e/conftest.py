"""One real Muster for the whole session, started as a user starts it, in a data folder of its own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in Path(item.fspath).parts:
            item.add_marker("e2e")
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The data folder, also for what the tests compute in this process."""
    before = os.environ.get("MUSTER_HOME")
    with tempfile.TemporaryDirectory(prefix="muster-e2e-") as folder:
        os.environ["MUSTER_HOME"] = folder
        yield Path(folder)
    os.environ.pop("MUSTER_HOME")
    if before is not None:
        os.environ["MUSTER_HOME"] = before


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[Server]:
    """Muster, up and ready, on a machine that is said to have one GPU."""
    with Server(environment={"MUSTER_HOME": str(home), "MUSTER_NUM_GPUS": "1"}) as running:
        yield running
