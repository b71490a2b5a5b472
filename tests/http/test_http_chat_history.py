"""What is kept of chats, and that nothing is after it was erased or where the client wanted nothing kept."""

import asyncio
import json

import http_fakes
import pytest
from http_fakes import build_services

from deployments.call import ModelState
from deployments.generation import Delta
from model_store.catalogue import Limits

ENHANCED, SEND, HISTORY = "/api/v1/chat/enhanced", "/api/v1/chat/send", "/api/v1/chat/history"
NO_STORE = {"Cache-Control": "no-store"}


@pytest.fixture
def talking(fleet, monkeypatch):
    monkeypatch.setattr(http_fakes.TALKER, "limits", Limits(max_tokens=4096))
    fleet.known = {name: ModelState("ready", None, 1) for name in ("minilm", "moods", "talker")}
    fleet.deltas = [Delta("A hard day, then.", 5, 1), Delta("", 5, 1, "stop")]
    return fleet


async def ask(client, user="u", conversation="c", headers=None):
    body = {"user_id": user, "session_id": conversation, "message": "a long day"}
    answer = await client.post(ENHANCED, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def turns(client, user="u", conversation="c"):
    return (await client.get(HISTORY, params={"user_id": user, "conversation_id": conversation})).json()["turns"]


async def test_erasing_a_user_leaves_none_of_many_conversations(stored, redis_server):
    for number in range(103):
        await ask(stored, conversation=f"c{number}")
    await ask(stored, user="other")
    assert len((await stored.get(HISTORY, params={"user_id": "u"})).json()["conversations"]) == 103
    assert (await stored.delete(HISTORY, params={"user_id": "u"})).json()["erased"] == 103
    held = redis_server.command("KEYS", "*:chat*").decode()
    assert not [key for key in held.split() if ":chat:u:" in key or key.endswith(":chats:u")]
    assert await turns(stored, conversation="c0") == []
    assert len(await turns(stored, user="other")) == 1


@pytest.mark.parametrize("whole", [True, False])
async def test_a_reply_in_progress_is_not_kept_after_an_erasure(open_client, talking, redis_server, whole):
    async with open_client(build_services(talking, redis_server.url)) as client:
        await ask(client, conversation="before")
        talking.pause_s = 0.3
        making = asyncio.create_task(ask(client))
        beside = asyncio.create_task(ask(client, conversation="beside"))
        while talking.open < 2:
            await asyncio.sleep(0.01)
        where = {"user_id": "u"} if whole else {"user_id": "u", "conversation_id": "c"}
        await client.delete(HISTORY, params=where)
        assert (await making)["partial"] == (await beside)["partial"] == []
        assert await turns(client) == []
        # Another conversation goes on when one is erased.
        assert len(await turns(client, conversation="beside")) == (0 if whole else 1)
        assert len(await turns(client, conversation="before")) == (0 if whole else 1)
        talking.pause_s = 0.0
        await ask(client)
        assert len(await turns(client)) == 1, "what is said after the erasure is kept"


@pytest.mark.parametrize("path", [ENHANCED, SEND])
@pytest.mark.parametrize("message", ["a long day", "I want to kill myself"])
async def test_no_store_keeps_nothing_of_a_chat(open_client, talking, redis_server, path, message):
    body = {"user_id": "u", "message": message, ("session_id" if path == ENHANCED else "conversation_id"): "c"}
    async with open_client(build_services(talking, redis_server.url)) as client:
        await ask(client)
        before = set(redis_server.command("KEYS", "*").decode().split())
        answer = await client.post(path, json=body, headers=NO_STORE)
        assert answer.status_code == 200
        told = answer.json() if path == ENHANCED else json.loads(answer.text.split("data: ")[-1])
        assert told["partial"] == []
        assert len(await turns(client)) == 1
        new = set(redis_server.command("KEYS", "*").decode().split()) - before
    assert not [key for key in new if ":chat" in key or ":cache" in key]


async def test_a_grave_turn_that_is_kept_late_is_not_kept_after_an_erasure_elsewhere(open_client, fleet, redis_server):
    """Kept behind its reply by one gateway, erased by another."""
    async with (
        open_client(build_services(fleet, redis_server.url)) as one,
        open_client(build_services(fleet, redis_server.url)) as other,
    ):
        run = one.services.state.run

        async def slow(*arguments):
            await asyncio.sleep(0.3)
            return await run(*arguments)

        one.services.state.run = slow
        body = {"user_id": "u", "session_id": "c", "message": "I want to kill myself"}
        assert (await one.post(ENHANCED, json=body)).json()["crisis"]["outcome"] == "crisis"
        await other.delete(HISTORY, params={"user_id": "u"})
        await asyncio.sleep(0.5)
        one.services.state.run = run
        assert await turns(one) == []
        await one.post(ENHANCED, json=body)
        assert len(await turns(one)) == 1
