"""The fusion weights in force in this gateway process: what every assessment that it sends out is weighed by.

Weights travel with each call, so that no replica can have others than the gateway that asked. Redis is the truth: a change
is written there, and every gateway looks twice a second. Without Redis it is the weights file, which a change rewrites and
every gateway of the node looks at as often; without a file it is this process's memory.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import orjson

from deployments.errors import InvalidInput, StateUnavailable
from deployments.skills.weight_book import WeightBook
from deployments.state import State
from serve_app.errors import SettingsError

LOOK_EVERY_S = 0.5
ATTEMPTS = 5
LARGEST_FILE = 1024 * 1024
_DOCUMENT = "fusion-weights"
Store = Literal["redis", "file", "memory"]
_log = logging.getLogger("ray.serve.muster")


class WeightKeeper:
    """``book``: the weights in force. ``problem``: why they may not be the newest, None when they are."""

    def __init__(self, state: State, file: Path | None) -> None:
        """Raises ``SettingsError`` for a weights file that is there and wrong."""
        self._state, self._file = state, file
        self._seen: bytes | None = None
        self._stamp: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        try:
            self.book = self._read_file() or WeightBook()
        except InvalidInput as error:
            raise SettingsError(f"The weights file {file}: {error.param}: {error}") from None

    @property
    def store(self) -> Store:
        """Where a change is written."""
        return "redis" if self._state.configured else "file" if self._file else "memory"

    async def start(self) -> None:
        """Look from now on."""
        await self.look()
        if self._task is None and self.store != "memory":
            self._task = asyncio.create_task(self._look_often())

    async def stop(self) -> None:
        """Stop looking."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> None:
        """Take what others have changed; what is in force stays when nobody can say."""
        try:
            if self.store == "redis":
                self._take(await self._state.document(_DOCUMENT))
            elif self.store == "file" and self._file_stamp() != self._stamp:
                self.book = self._read_file() or self.book
            self.problem = None
        except StateUnavailable:
            self.problem = "Redis does not answer: these are the last weights that were read"
        except InvalidInput as error:
            self.problem = f"what is stored cannot be used ({error.param}): these are the last good weights"
        except Exception as error:  # noqa: BLE001 - whatever it is, assessments go on with the last weights
            self.problem = f"the weights could not be read ({type(error).__name__}): these are the last good ones"

    async def change(self, change: Callable[[WeightBook], WeightBook]) -> WeightBook:
        """Write a change of the newest book and put it in force. Raises ``InvalidInput`` or ``StateUnavailable``."""
        if self.store != "redis":
            book = change(self.book)
            if self._file:
                await asyncio.to_thread(self._write_file, book)
                self._stamp = self._file_stamp()
            self.book = book
            return book
        for _ in range(ATTEMPTS):
            held = await self._state.document(_DOCUMENT)
            self._take(held)
            book = change(self.book)
            value = orjson.dumps(book.to_json())
            if await self._state.replace_document(_DOCUMENT, held, value):
                self._seen, self.book = value, book
                return book
        raise StateUnavailable("The weights are being changed by others; try again.", 1.0)

    async def reload(self, who: Mapping[str, str]) -> WeightBook:
        """Put the file's weights in force. Raises ``InvalidInput`` when there is no file or it is wrong."""
        file = await asyncio.to_thread(self._read_file)
        if file is None:
            raise InvalidInput(f"There is no weights file to read at {self._file}.", "MUSTER_FUSION_WEIGHTS")
        return await self.change(lambda book: book.reloaded(file, who))

    def _take(self, value: bytes | None) -> None:
        if value is None or value == self._seen:
            return
        book = WeightBook.parse(orjson.loads(value))
        # A look that was slow must not undo a change that this process has made meanwhile.
        if self._seen is None or book.revision >= self.book.revision:
            self.book, self._seen = book, value

    async def _look_often(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            before, known = self.problem, self.book.revision
            await self.look()
            if self.problem and self.problem != before:
                _log.warning("fusion weights: %s", self.problem)
            if self.book.revision != known:
                _log.warning("fusion weights of revision %d are in force", self.book.revision)

    def _read_file(self) -> WeightBook | None:
        """The file's book; None when there is no file. Raises ``InvalidInput``."""
        if self._file is None or not self._file.is_file():
            return None
        stamp = self._file_stamp()
        if self._file.stat().st_size > LARGEST_FILE:
            raise InvalidInput("The file is too large for fusion weights.", "MUSTER_FUSION_WEIGHTS")
        try:
            body: Any = orjson.loads(self._file.read_bytes())
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"It is not JSON (line {error.lineno}).", "MUSTER_FUSION_WEIGHTS") from None
        book = WeightBook.parse(body)
        self._stamp = stamp
        return book

    def _write_file(self, book: WeightBook) -> None:
        assert self._file is not None
        draft = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            draft.write_bytes(orjson.dumps(book.to_json(), option=orjson.OPT_INDENT_2))
            draft.replace(self._file)
        except OSError as error:
            raise StateUnavailable(f"The weights file cannot be written ({type(error).__name__}).", 60.0) from None

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            stat = self._file.stat() if self._file else None
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_ino) if stat else None
