"""A stand-in for Hugging Face's router, over real HTTP: right answers, unless a test has put others before them."""

import asyncio
from collections import deque
from contextlib import contextmanager

from app_in_thread import running
from http_fakes import TOKEN, vector
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class FakeRouter:
    """``next``: answers to give before the right ones; ``asked``: paths and bodies; ``delay_s``: before every answer."""

    def __init__(self) -> None:
        self.next: deque[Response] = deque()
        self.always: Response | None = None
        self.asked: list = []
        self.delay_s = 0.0
        self.url = ""

    async def answer(self, request) -> Response:
        body = await request.json()
        self.asked.append((request.url.path, body))
        await asyncio.sleep(self.delay_s)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": "Invalid username or password."}, 401)
        if self.next:
            return self.next.popleft()
        return self.always or JSONResponse(self._right(request.url.path, body))

    @staticmethod
    def _right(path, body):
        if path == "/v1/chat/completions":
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
            return {"model": body["model"], "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        if path.endswith("/pipeline/feature-extraction"):
            return [vector(text).tolist() for text in body["inputs"]]
        if "candidate_labels" in body["parameters"]:
            labels = body["parameters"]["candidate_labels"]
            found = [{"label": label, "score": 1 / (i + 2)} for i, label in enumerate(labels)]
            return found[::-1]
        return [[{"label": "neutral", "score": 0.5}, {"label": "joy", "score": 0.3}, {"label": "anger", "score": 0.2}]]


@contextmanager
def routing():
    """A running fake router."""
    router = FakeRouter()
    app = Starlette(routes=[Route("/{path:path}", router.answer, methods=["POST"])])
    with running(app) as router.url:
        yield router
