"""Clients that ask all the time while something happens to the server."""

import json
import threading
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

from benchmarks.server import Server


class Clients(ABC):
    """One thread a question, which judges every answer. ``answers``: good ones by path; ``failures``: all others.
    ``pause_s``: between two questions, for what happens to the server."""

    def __init__(self, server: Server, questions: Mapping[str, Any], pause_s: float = 0.02) -> None:
        self.answers: Counter[str] = Counter(dict.fromkeys(questions, 0))
        self.failures: list[str] = []
        self._url, self._stop, self._pause_s = server.url, threading.Event(), pause_s
        self._threads = [threading.Thread(target=self._ask, args=question) for question in questions.items()]

    @abstractmethod
    def judge(self, path: str, answer: Any) -> None:
        """Raises what is wrong with an answer."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, path: str, question: Any) -> None:
        # What is kept would be answered without the model.
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        request = urllib.request.Request(f"{self._url}{path}", json.dumps(question).encode(), headers)
        while not self._stop.wait(self._pause_s):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.judge(path, json.load(answer))
                self.answers[path] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, a client noticed
                self.failures.append(f"{path}: {type(error).__name__}: {error}")
