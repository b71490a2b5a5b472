"""Requirement 6: bad input gets the documented error, never a 500."""

import asyncio
import json
from typing import Any

from benchmarks.checks.verdict import Verdict
from benchmarks.load import Connection

EMBED, INFER, FEATURES = "/v1/embeddings", "/api/v1/infer/s1", "/api/v1/students/s1/features"


def _embed(**fields: Any) -> bytes:
    return json.dumps({"model": "embedding", "input": "x", **fields}).encode()


def _features(name: str, value: Any, group: str = "linguistic") -> bytes:
    return json.dumps({group: {name: value}}).encode()


CASES: list[tuple[str, str, str, bytes, dict[str, str], set[int]]] = [
    ("wrong type", "POST", EMBED, _embed(input=5), {}, {400}),
    ("wrong type in a list", "POST", EMBED, _embed(input=["a", None]), {}, {400}),
    ("token arrays", "POST", EMBED, _embed(input=[[1, 2, 3]]), {}, {400}),
    ("empty list", "POST", EMBED, _embed(input=[]), {}, {400}),
    ("2,049 texts", "POST", EMBED, _embed(input=["a"] * 2049), {}, {400}),
    ("a 5 MB text", "POST", EMBED, _embed(input="word " * 1_000_000), {}, {400}),
    ("a 17 MiB body", "POST", EMBED, _embed(input="x" * 17 * 2**20), {}, {413}),
    ("NUL bytes in the body", "POST", EMBED, b'{"model": "embedding", "input": "a\x00b"}', {}, {400}),
    ("NUL escaped in a text", "POST", EMBED, _embed(input="a\x00b"), {}, {400}),
    ("not JSON", "POST", EMBED, b"{", {}, {400}),
    ("not UTF-8", "POST", EMBED, b'{"model": "embedding", "input": "\xff\xfe"}', {}, {400}),
    ("NaN literal", "POST", EMBED, b'{"model": "embedding", "input": "x", "dimensions": NaN}', {}, {400}),
    ("deep nesting", "POST", EMBED, b"[" * 100_000, {}, {400}),
    ("unknown field", "POST", EMBED, _embed(flavour="mint"), {}, {400}),
    ("unknown model", "POST", EMBED, _embed(model="no-such-model"), {}, {404}),
    ("wrong encoding_format", "POST", EMBED, _embed(encoding_format="hex"), {}, {400}),
    ("overlong text", "POST", EMBED, _embed(input="word " * 3_000), {}, {400}),
    ("wrong media type", "POST", EMBED, b"x=1", {"Content-Type": "text/plain"}, {415, 400}),
    ("compressed body", "POST", EMBED, b"\x1f\x8b\x08", {"Content-Encoding": "gzip"}, {415}),
    ("non-UTF-8 request id", "POST", EMBED, _embed(), {"X-Request-Id": "\xff\xfe"}, {200, 400}),
    ("non-UTF-8 session id", "POST", EMBED, _embed(), {"X-Session-Id": "\xff\xfe"}, {200, 400}),
    ("non-UTF-8 timeout", "POST", EMBED, _embed(), {"X-Request-Timeout-Seconds": "\xff"}, {200, 400}),
    ("non-UTF-8 multiplex id", "POST", EMBED, _embed(), {"serve_multiplexed_model_id": "\xff"}, {200, 400}),
    ("non-UTF-8 deadline", "POST", EMBED, _embed(), {"X-Deadline-Ms": "\xff"}, {400}),
    ("deadline out of range", "POST", EMBED, _embed(), {"X-Deadline-Ms": "999999999"}, {400}),
    ("deadline too short", "POST", EMBED, _embed(input=["long text " * 20] * 64), {"X-Deadline-Ms": "1"}, {504}),
    ("Serve's own timeout header", "POST", EMBED, _embed(), {"X-Request-Timeout-Seconds": "0"}, {200}),
    ("foreign host", "POST", EMBED, _embed(), {"Host": "evil.example"}, {400, 403}),
    ("foreign origin", "POST", EMBED, _embed(), {"Origin": "https://evil.example"}, {403}),
    ("unknown skill", "POST", f"{INFER}/telepathy", b"{}", {}, {404}),
    ("unknown student", "POST", "/api/v1/infer/nobody-here", b"{}", {}, {404}),
    ("feature of the wrong type", "PUT", FEATURES, _features("word_count", "many"), {}, {422}),
    ("feature out of range", "PUT", FEATURES, _features("empathy_markers", 7), {}, {422}),
    ("feature NaN", "PUT", FEATURES, b'{"linguistic": {"word_count": NaN}}', {}, {400, 422}),
    ("unknown feature", "PUT", FEATURES, _features("shoe_size", 41), {}, {422}),
    ("feature in the wrong group", "PUT", FEATURES, _features("word_count", 5, "behavioral"), {}, {422}),
    ("features of the wrong shape", "POST", INFER, b'{"features": [1, 2, 3]}', {}, {422}),
    ("too many students", "POST", "/api/v1/infer/batch", json.dumps({"student_ids": ["a"] * 101}).encode(), {}, {422}),
    ("no students", "POST", "/api/v1/infer/batch", b'{"student_ids": []}', {}, {422}),
    ("unknown route", "GET", "/no/such/route", b"", {}, {404}),
    ("wrong method", "DELETE", EMBED, b"", {}, {405}),
]


def measure(port: int) -> Verdict:
    """Every case on a connection of its own: status as documented, an error body that names things, no trace."""
    verdict = Verdict("bad input gets the documented error")
    answers = asyncio.run(_ask_all(port))
    for (name, *_, allowed), (status, body) in zip(CASES, answers, strict=True):
        verdict.require(f"{name}: {status} in {sorted(allowed)}", status in allowed)
        if status >= 400:
            verdict.require(f"{name}: an error body", b'"message"' in body and b"Traceback" not in body)
    verdict.figures["cases"] = len(CASES)
    return verdict


async def _ask_all(port: int) -> list[tuple[int, bytes]]:
    answers = []
    for _, method, path, body, headers, _ in CASES:
        connection = Connection("127.0.0.1", port, keep_body=True)
        outcome = await connection.ask(method, path, body, headers)
        connection.close()
        answers.append((outcome.status, outcome.body))
    return answers
