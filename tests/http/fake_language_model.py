"""A stand-in for an OpenAI-compatible language model, over real HTTP. It answers well, unless a test tells it otherwise."""

import asyncio
import json
from collections import deque
from contextlib import contextmanager

from app_in_thread import running
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "sk-not-a-real-key"


class FakeLanguageModel:
    """``mode``: what it does from now on; ``next``: modes for the next attempts before that; ``asked``: request bodies."""

    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.mode, self.next, self.asked, self.attack = "good", deque(), [], ""
        self.retry_after, self.running, self.most_running = None, 0, 0

    async def models(self, request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "Incorrect API key"}}, 401)
        return JSONResponse({"id": request.path_params["model"], "object": "model", "created": 0, "owned_by": "x"})

    async def complete(self, request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            mode = self.next.popleft() if self.next else self.mode
            return await getattr(self, f"_{mode}")(body)
        finally:
            self.running -= 1

    async def _good(self, body):
        return _chat(good_answer(facts_in(body)))

    async def _slow(self, body):
        await asyncio.sleep(0.2)
        return await self._good(body)

    async def _fenced(self, body):
        return _chat(f"Here you are:\n```json\n{good_answer(facts_in(body))}\n```")

    async def _timeout(self, body):
        await asyncio.sleep(3)

    async def _drip(self, body):
        async def bytes_slowly():
            for byte in json.dumps({"choices": []}).encode() * 50:
                yield bytes([byte])
                await asyncio.sleep(0.05)

        return StreamingResponse(bytes_slowly(), media_type="application/json")

    async def _limited(self, body):
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse({"error": {"message": "slow down"}}, 429, headers)

    async def _broken(self, body):
        return JSONResponse({"error": {"message": "server error"}}, 500)

    async def _unauthorised(self, body):
        return JSONResponse({"error": {"message": "Incorrect API key provided"}}, 401)

    async def _html(self, body):
        return Response("<html>gateway</html>", media_type="text/html")

    async def _empty_object(self, body):
        return JSONResponse({})

    async def _garbage(self, body):
        return _chat("lorem ipsum { not json")

    async def _refusal(self, body):
        return _chat(None, refusal="I cannot help with that.")

    async def _cut(self, body):
        return _chat('{"reasoning": "Empathy is', finish="length")

    async def _without_usage(self, body):
        return _chat(good_answer(facts_in(body)), usage=False)

    async def _no_formats(self, body):
        if "response_format" in body:
            return JSONResponse({"error": {"message": "response_format is not supported", "param": None}}, 400)
        return await self._good(body)

    async def _echo(self, body):
        """Everything it was given comes back, in every field."""
        everything = " ".join(message["content"] for message in body["messages"])
        return _chat(json.dumps(_all_fields(everything)))

    async def _echo_instructions(self, body):
        system = [line.strip("- ") for line in body["messages"][0]["content"].splitlines() if len(line) > 60]
        return _chat(json.dumps(_all_fields(" ".join(system)[:600])))

    async def _attacked(self, body):
        """What a model says that a text has talked into it."""
        return _chat(json.dumps(_all_fields(self.attack)))

    async def _half_attacked(self, body):
        """A good answer with the attack as its last suggestion."""
        answer = json.loads(good_answer(facts_in(body)))
        answer["growth_suggestions"][1] = self.attack[:230]
        return _chat(json.dumps(answer))


def facts_in(body):
    """The facts of a request, out of their fence."""
    lines = body["messages"][1]["content"].split("\n")
    assert lines[0] == lines[-1], "the fence is around the data"
    return json.loads("\n".join(lines[1:-1]))


def good_answer(facts) -> str:
    """What a well-behaved model writes."""
    seen = [item["speaks_of"] for item in facts["evidence"]] * 2
    part = f"a part of {facts['skill'].lower()}"
    first = f"{facts['skill']} is {facts['band']}: the observations speak of {seen[0]}."
    return json.dumps(
        {
            "reasoning": f"{first} The student shows signs of {facts['meaning']}, so this is a good base to build on.",
            "strengths": [
                f"The student shows strength in {seen[0]}, {part}.",
                f"There are first signs of {seen[1]}, {part}.",
            ],
            "growth_suggestions": [
                f"Offer one more activity that invites {seen[-1]}, {part}.",
                f"Talk together about {seen[0]}, {part}, after the next task.",
            ],
        }
    )


def _all_fields(text):
    return {"reasoning": text, "strengths": [text, text + " "], "growth_suggestions": [text, text + "!"]}


def _chat(content, finish="stop", refusal=None, usage=True):
    body = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, "refusal": refusal},
            }
        ],
    }
    if usage:
        body["usage"] = {"prompt_tokens": 500, "completion_tokens": 120, "total_tokens": 620}
    return JSONResponse(body)


@contextmanager
def speaking():
    """A running fake model."""
    model = FakeLanguageModel()
    routes = [
        Route("/v1/models/{model:path}", model.models),
        Route("/v1/chat/completions", model.complete, methods=["POST"]),
    ]
    with running(Starlette(routes=routes)) as url:
        model.url = f"{url}/v1"
        yield model
