"""The hub: what a repository holds, and its files one by one, by ``huggingface_hub``.

All patience is here. The library retries a few times by itself; on top of that every call that failed is repeated up to
``ATTEMPTS`` times, with exponential backoff and full jitter, and one that the hub told to come back later up to
``REFUSALS`` times, after the time that its RateLimit header names.
The library checks a file's size only; here its digest is compared with the one the hub's listing gave.
"""

import hashlib
import io
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from model_store.errors import GatedModel, HubUnavailable, SourceUnavailable
from model_store.lock import FileDigest, digest_file

ATTEMPTS, REFUSALS = 12, 150
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
_BLOCK = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub lists it. Large files have a ``sha256``, small ones git's ``blob_id`` (sha1)."""

    name: str
    size: int
    sha256: str | None
    blob_id: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository at one commit (40 hex digits)."""

    repo: str
    commit: str
    files: tuple[RemoteFile, ...]


class Hub:
    """One endpoint with one token. Thread-safe; raises ``HubUnavailable``, ``GatedModel``, ``SourceUnavailable``."""

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        pace: float = 1.0,
        seed: int | None = None,
    ) -> None:
        """``pace``: factor on all waiting, for tests against a hub that forgives sooner."""
        from huggingface_hub import HfApi

        self._api = HfApi(endpoint=endpoint, token=token)
        self._pace = pace
        # Full jitter: clients that were refused together must not come back together.
        self._random = random.Random(seed)  # noqa: S311 - spreads retries, protects nothing

    def snapshot(self, repo: str, revision: str) -> Snapshot:
        """The commit that a revision means now, with all its files."""
        info: Any = self._patiently(
            repo,
            threading.Event(),
            lambda: self._api.model_info(repo, revision=revision, files_metadata=True, timeout=30),
        )
        files = tuple(
            RemoteFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else None, one.blob_id)
            for one in info.siblings or ()
        )
        # It becomes part of a path.
        if not re.fullmatch(r"[0-9a-f]{40}", str(info.sha)):
            raise SourceUnavailable(f"The hub names a commit of {repo} that is none.")
        return Snapshot(repo, str(info.sha), files)

    def fetch(self, snapshot: Snapshot, file: RemoteFile, folder: Path, stop: threading.Event) -> FileDigest:
        """Download one file below ``folder``, or find it there already; either way its digest was compared.

        ``stop``: when it is set, nothing is waited for or repeated any more.
        """

        def once() -> FileDigest:
            target = folder / file.name
            if found := _checked(target, file):
                return found
            target.unlink(missing_ok=True)
            self._download(snapshot, file, target)
            if found := _checked(target, file):
                return found
            target.unlink(missing_ok=True)
            raise _Corrupted(f"{file.name} arrived with a wrong digest")

        return self._patiently(snapshot.repo, stop, once)

    def _download(self, snapshot: Snapshot, file: RemoteFile, target: Path) -> None:
        """Fetch into ``<name>.part``, going on where an earlier attempt broke off, then rename.

        ``http_get`` instead of ``hf_hub_download``: the listing has told size and digest already, so there is nothing to
        ask about a file before fetching it, and what has come is not thrown away.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils._headers import build_hf_headers

        url = hf_hub_url(snapshot.repo, file.name, revision=snapshot.commit, endpoint=self._api.endpoint)
        part = target.with_name(f"{target.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        if part.exists() and part.stat().st_size >= file.size:
            part.unlink()
        with _Bounded(part, file.size) as writer:
            http_get(
                url,
                writer,
                resume_size=writer.tell(),
                headers=build_hf_headers(token=self._api.token),
                expected_size=file.size,
                displayed_filename=file.name,
            )
        part.replace(target)

    def _patiently(self, repo: str, stop: threading.Event, call: Callable[[], T]) -> T:
        """Repeat what may succeed later; tell the rest in Muster's words."""
        failures = refusals = 0
        while True:
            try:
                return call()
            except Exception as error:  # noqa: BLE001 - judged by its kind in the next line
                _final(repo, error)
                last = error
            refused = _refused(last)
            refusals, failures = refusals + refused, failures + (not refused)
            if failures >= ATTEMPTS or refusals >= REFUSALS:
                break
            if stop.wait(self._wait(refusals if refused else failures, last) * self._pace):
                break
        raise HubUnavailable(repo, failures + refusals, _told(last)) from last

    def _wait(self, attempt: int, error: Exception) -> float:
        named = _reset_after(error)
        if named is not None:
            return named + self._random.random()
        return self._random.uniform(0.0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 10)))


class _Corrupted(OSError):
    """The bytes that came are not those the hub listed."""


class _Bounded(io.BufferedWriter):
    """Appends to a file up to the size that was listed: a hostile body need not end before the disk does."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self._size = size

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._size:
            raise _Corrupted(f"more than the {self._size} bytes that were listed")
        return super().write(data)


def _checked(path: Path, file: RemoteFile) -> FileDigest | None:
    """The file's digest when it is complete and the one that the hub listed."""
    found = digest_file(path)
    if found is None or found.size != file.size:
        return None
    if file.sha256 is not None:
        return found if found.sha256 == file.sha256 else None
    return found if file.blob_id is None or _blob_id(path, found.size) == file.blob_id else None


def _blob_id(path: Path, size: int) -> str:
    """git's name for a file's content."""
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as reader:
        while block := reader.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _final(repo: str, error: Exception) -> None:
    """Raise at once what no repetition changes."""
    from huggingface_hub import errors

    chain = _chain(error)
    for one in chain:
        if isinstance(one, errors.GatedRepoError):
            raise GatedModel(repo) from error
        if isinstance(one, errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
            raise SourceUnavailable(
                f"The hub has no such revision or file in {repo}: it may have been moved."
            ) from error
        if isinstance(one, errors.RepositoryNotFoundError):
            raise SourceUnavailable(
                f"The hub has no repository {repo}, or it is private: check the name, and HF_TOKEN if it is private."
            ) from error
        if isinstance(one, errors.OfflineModeIsEnabled):
            raise SourceUnavailable("The hub is switched off here (HF_HUB_OFFLINE); pull in another shell.") from error
        status = _status(one)
        if status in (401, 403):
            raise SourceUnavailable(f"The hub refused {repo} with status {status}: check HF_TOKEN.") from error
    if not any(isinstance(one, OSError) or _is_http(one) for one in chain):
        raise error


def _refused(error: Exception) -> bool:
    """Whether the hub only said that it was asked too often."""
    return any(_status(one) == 429 for one in _chain(error))


def _reset_after(error: Exception) -> float | None:
    """Seconds that the hub asks to wait, when it did."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    for one in _chain(error):
        if _status(one) != 429:
            continue
        headers = one.response.headers  # type: ignore[attr-defined]
        told = parse_ratelimit_headers(headers)
        if told is not None and told.remaining == 0:
            return float(told.reset_in_seconds)
        if str(headers.get("retry-after", "")).isdigit():
            return float(headers["retry-after"])
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what it came from; the library wraps what a HEAD request met."""
    found: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in found:
        found.append(now)
        now = now.__cause__
    return found


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return int(status) if status is not None else None


def _is_http(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0].startswith(("httpx", "httpcore"))


def _told(error: BaseException) -> str:
    status = next((status for one in _chain(error) if (status := _status(one)) is not None), None)
    return f"status {status}" if status is not None else type(error).__name__
