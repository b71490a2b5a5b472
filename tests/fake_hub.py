"""A fake Hugging Face hub over real HTTP, for the real huggingface_hub, with a storm on demand.

::

    with FakeHub() as hub:
        commit = hub.add("org/name", folder)
        HfApi(endpoint=hub.endpoint).model_info("org/name", files_metadata=True)
        hub.storm(rate_limited=0.9, cut=0.5, corrupt=0.2, seed=7)

As on the real hub, large files are redirected to another origin (the "CDN"), the card of a gated repository is public
and its files are not, and every answer tells the rate limit. There is no Xet. A storm spares nobody: whoever calls may be
answered 429, be cut off inside the body, or get one wrong byte in a file; the next call may fare better.
"""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.fake_hub_http import Handler
from tests.fake_hub_repo import Commit, commit_of

GOOD_TOKEN = "good-token"


@dataclass(frozen=True)
class Storm:
    """Shares of calls, 0 to 1. ``reset_s`` is what a 429 says about the next window."""

    rate_limited: float = 0.0
    cut: float = 0.0
    corrupt: float = 0.0
    reset_s: int = 0


@dataclass
class Repo:
    """All commits by id; ``main`` is the newest one's id."""

    gated: bool
    main: str
    commits: dict[str, Commit] = field(default_factory=dict)

    def find(self, revision: str) -> Commit | None:
        return self.commits.get(self.main if revision in ("main", "refs/heads/main") else revision)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class FakeHub:
    """``calls`` counts "METHOD kind" with kind api, tree, resolve, cdn or other; ``statuses`` the answers."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.quota = 3000
        self.weather = Storm()
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._servers: list[_Server] = []

    def __enter__(self) -> "FakeHub":
        handler = type("HubHandler", (Handler,), {"hub": self})
        for _ in ("hub", "cdn"):
            server = _Server(("127.0.0.1", 0), handler)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self._servers.append(server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}"

    @property
    def cdn(self) -> str:
        """Another port is another origin, so the client drops its token, as for the real CDN."""
        return f"http://127.0.0.1:{self._servers[1].server_address[1]}"

    @property
    def total(self) -> int:
        """Calls so far, of any kind, refused ones included."""
        return sum(self.calls.values())

    def add(self, repo_id: str, folder: Path, gated: bool = False) -> str:
        """Publish a folder as it is now; returns the commit."""
        commit = commit_of(repo_id, folder)
        self.repos[repo_id] = Repo(gated, commit.id, {commit.id: commit})
        self.blobs |= {file.sha256: file.content for file in commit.files.values()}
        return commit.id

    def update(self, repo_id: str, folder: Path) -> str:
        """Move main on to this folder's content; older commits stay. Returns the new commit."""
        older = self.repos[repo_id]
        self.add(repo_id, folder, older.gated)
        newer = self.repos[repo_id]
        newer.commits = older.commits | newer.commits
        return newer.main

    def storm(
        self, rate_limited: float = 0.0, cut: float = 0.0, corrupt: float = 0.0, seed: int = 0, reset_s: int = 0
    ) -> None:
        """Until ``calm``: 429 to a share of the calls, file bodies cut at a random byte, one byte of a file flipped."""
        self.weather = Storm(rate_limited, cut, corrupt, reset_s)
        self._random = random.Random(seed)

    def calm(self) -> None:
        self.weather = Storm()

    def happens(self, share: float) -> bool:
        with self._lock:
            return self._random.random() < share

    def pick(self, below: int) -> int:
        with self._lock:
            return self._random.randrange(below)

    def count(self, call: str) -> None:
        with self._lock:
            self.calls[call] += 1
            self.quota = max(self.quota - 1, 1)

    def answered(self, status: int) -> None:
        with self._lock:
            self.statuses[status] += 1
