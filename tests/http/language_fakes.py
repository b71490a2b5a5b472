"""A language model of OpenAI's form over real HTTP, and one of the flows' own connected to it."""

import threading
import time
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from deployments.reasoning.plain_text import PlainTextModel
from deployments.settings import ReasoningSettings


class FakeLanguageModel:
    """``text``: what it says; ``status``: other than 200 it fails; ``asked``: the bodies."""

    def __init__(self) -> None:
        self.text, self.status, self.asked, self.url = "That sounds hard. What would help today?", 200, [], ""

    async def answer(self, request):
        self.asked.append(await request.json())
        if self.status != 200:
            return JSONResponse({"error": {"message": "no"}}, self.status)
        choice = {"index": 0, "message": {"role": "assistant", "content": self.text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39}
        return JSONResponse(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )


@contextmanager
def language_model():
    """A running one."""
    fake = FakeLanguageModel()
    app = Starlette(routes=[Route("/v1/chat/completions", fake.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    fake.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(10)


def connected(fake, **settings) -> PlainTextModel:
    """The flows' language model at this address, with limits of this process."""
    known = ReasoningSettings(mode="optional", url=fake.url, model="m", limiter="memory", timeout_s=5.0, **settings)
    return PlainTextModel(None, settings=known)
