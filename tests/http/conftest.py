"""Fixtures of the HTTP tests: the application over a fake fleet, in process, and a real Redis."""

import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from http_fakes import FakeFleet, RedisProcess, build_services

from serve_app.api.app import create_app


@pytest.fixture(scope="session")
def _redis_process():
    # Not pytest's own folder: a Unix socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="mt-"))
    process = RedisProcess(folder)
    yield process
    process.kill()
    shutil.rmtree(folder)


@pytest.fixture
def redis_server(_redis_process):
    """A running, empty Redis, whatever the test before did to it."""
    if _redis_process.process is None:
        _redis_process.start()
    _redis_process.command("FLUSHALL")
    return _redis_process


@pytest.fixture
def fleet():
    return FakeFleet()


@asynccontextmanager
async def _client(services, **options):
    app = create_app(services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", **options) as client,
    ):
        client.services = services
        yield client


@pytest.fixture(scope="session")
def open_client():
    """``async with open_client(services) as client``: for tests that need more than one application."""
    return _client


@pytest.fixture
async def client(fleet):
    """An application without keys and without Redis."""
    async with _client(build_services(fleet)) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting():
    """``client`` for a whole module, on a loop of that scope: for requests that leave nothing behind. Building one takes
    longer than most tests."""
    async with _client(build_services(FakeFleet())) as client:
        yield client


@pytest.fixture
async def stored(fleet, redis_server):
    """An application without keys, with Redis."""
    async with _client(build_services(fleet, redis_server.url)) as client:
        yield client
