"""An ASGI application over real HTTP, in a thread of the test's process."""

import threading
import time
from contextlib import contextmanager

import uvicorn


@contextmanager
def running(app):
    """The application in uvicorn on a port of its own; yields the base URL. What it still answers at the end has a second."""
    options = {"log_level": "error", "access_log": False, "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until, "uvicorn did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
