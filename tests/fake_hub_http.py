"""The fake hub's HTTP: the routes that huggingface_hub calls, with the hub's headers and error codes."""

import json
import re
import socket
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from tests.fake_hub import FakeHub, Repo
    from tests.fake_hub_repo import Commit

_NAME = r"[\w.-]+"
_API = re.compile(rf"/api/models/({_NAME}(?:/{_NAME})?)")
_API_REVISION = re.compile(rf"/api/models/({_NAME}(?:/{_NAME})?)/revision/([^/]+)")
_TREE = re.compile(rf"/api/models/({_NAME}(?:/{_NAME})?)/tree/([^/]+)(?:/([^/]+))?")
_RESOLVE = re.compile(rf"/({_NAME}(?:/{_NAME})?)/resolve/([^/]+)/(.+)")
_CDN = re.compile(r"/cdn/([0-9a-f]{64})")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    """One connection. ``hub`` is set by the subclass that a hub makes for itself."""

    hub: "FakeHub"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        kind, serve, match = self._route(url.path)
        self.hub.count(f"{self.command} {kind}")
        weather = self.hub.weather
        try:
            if self.hub.happens(weather.rate_limited):
                raise _Refused(429, "", "You have been rate limited.")
            if match is None:
                raise _Refused(404, "", "There is no such page.")
            serve([unquote(group or "") for group in match.groups()], parse_qs(url.query))
        except _Refused as refusal:
            codes = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            body = json.dumps({"error": refusal.message}).encode()
            self._send(refusal.status, body, {name: value for name, value in codes.items() if value})

    def _route(self, path: str) -> tuple:
        # A repository without an owner makes "x/tree" look like a name, so the longer forms are tried first.
        for pattern, kind, serve in (
            (_CDN, "cdn", self._serve_blob),
            (_API_REVISION, "api", self._serve_info),
            (_TREE, "tree", self._serve_tree),
            (_API, "api", self._serve_info),
            (_RESOLVE, "resolve", self._serve_file),
        ):
            if match := pattern.fullmatch(path):
                return kind, serve, match
        return "other", None, None

    def _commit(self, repo_id: str, revision: str) -> "tuple[Repo, Commit]":
        repo = self.hub.repos.get(repo_id)
        if repo is None:
            raise _Refused(404, "RepoNotFound", "Repository not found")
        commit = repo.find(revision or "main")
        if commit is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repo, commit

    def _serve_info(self, groups: list[str], query: dict[str, list[str]]) -> None:
        repo_id, revision = [*groups, ""][:2]
        repo, commit = self._commit(repo_id, revision)
        blobs = query.get("blobs", [""])[0].lower() == "true"
        siblings = [file.sibling() if blobs else {"rfilename": file.path} for file in commit.files.values()]
        info = {
            "_id": commit.id[:24],
            "id": repo_id,
            "modelId": repo_id,
            "sha": commit.id,
            "private": False,
            "gated": "auto" if repo.gated else False,
            "disabled": False,
            "downloads": 1,
            "likes": 0,
            "tags": ["safetensors"],
            "lastModified": "2026-01-02T03:04:05.000Z",
            "createdAt": "2026-01-02T03:04:05.000Z",
            "siblings": siblings,
        }
        self._send_json(info)

    def _serve_tree(self, groups: list[str], query: dict[str, list[str]]) -> None:
        _, commit = self._commit(groups[0], groups[1])
        entries = commit.tree(groups[2], query.get("recursive", [""])[0].lower() == "true")
        if entries is None:
            raise _Refused(404, "EntryNotFound", f"{groups[2]} does not exist")
        self._send_json(entries)

    def _serve_file(self, groups: list[str], query: dict[str, list[str]]) -> None:
        repo, commit = self._commit(groups[0], groups[1])
        self._check_token(groups[0], repo)
        file = commit.files.get(groups[2])
        if file is None:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if not file.lfs:
            self._send_content(file.content, headers)
            return
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
        self._send(302, b"", headers | {"Location": f"{self.hub.cdn}/cdn/{file.sha256}"})

    def _serve_blob(self, groups: list[str], query: dict[str, list[str]]) -> None:
        content = self.hub.blobs.get(groups[0])
        if content is None:
            raise _Refused(404, "", "There is no such blob.")
        self._send_content(content, {"ETag": f'"{groups[0]}"', "Accept-Ranges": "bytes"})

    def _check_token(self, repo_id: str, repo: "Repo") -> None:
        token = self.headers.get("Authorization")
        if repo.gated and token != "Bearer good-token":
            status = 403 if token else 401
            raise _Refused(status, "GatedRepo", f"Access to model {repo_id} is restricted.")

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _send_content(self, content: bytes, headers: dict[str, str]) -> None:
        """A file or a range of it; a storm may flip one of its bytes."""
        status, total, asked = 200, len(content), _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and any(asked.groups()):
            first, last = asked.groups()
            start = int(first) if first else max(total - int(last), 0)
            stop = min(int(last) + 1, total) if first and last else total
            if start >= stop:
                self._send(416, b"", {"Content-Range": f"bytes */{total}"})
                return
            status, content = 206, content[start:stop]
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{total}"}
        if content and self.command == "GET" and self.hub.happens(self.hub.weather.corrupt):
            wrong = bytearray(content)
            wrong[self.hub.pick(len(wrong))] ^= 0x20
            content = bytes(wrong)
        self._send(status, content, headers, may_cut=True)

    def _send(self, status: int, body: bytes, headers: dict[str, str], may_cut: bool = False) -> None:
        limited = status == 429
        remaining, reset_s = (0, self.hub.weather.reset_s) if limited else (self.hub.quota, 300)
        self.hub.answered(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("RateLimit", f'"api";r={remaining};t={reset_s}')
        self.send_header("RateLimit-Policy", '"fixed window";"api";q=3000;w=300')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD" or not body:
            return
        if may_cut and self.hub.happens(self.hub.weather.cut):
            self.wfile.write(body[: self.hub.pick(len(body))])
            # The peer sees the end of the stream before the promised length, as when a proxy dies.
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        # A client that has seen enough may be gone.
        with suppress(ConnectionError):
            self.wfile.write(body)
