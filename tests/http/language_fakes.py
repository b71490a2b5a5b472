"""A language model of OpenAI's form over real HTTP, and one of the flows' own connected to it."""

from contextlib import contextmanager

from app_in_thread import running
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
    with running(app) as url:
        fake.url = f"{url}/v1"
        yield fake


def connected(fake, **settings) -> PlainTextModel:
    """The flows' language model at this address, with limits of this process."""
    known = ReasoningSettings(mode="optional", url=fake.url, model="m", limiter="memory", timeout_s=5.0, **settings)
    return PlainTextModel(None, settings=known)
