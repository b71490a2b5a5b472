"""Servers that are compared: how each is started, asked and read. All get the same files and threads, and no hub."""

import base64
import contextlib
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from numpy.typing import NDArray

from benchmarks.load import embed_body
from benchmarks.server import Server, free_port
from deployments.settings import load_settings

START_TIMEOUT_S = 240
SERVED_NAME = "minilm"
BREATH_S = 1.5
"""Between two rests: time to answer health checks, which would otherwise find a server dead that was only stopped."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A running server. ``body`` makes the request that it answers best; ``processes`` are all of its processes."""

    name: str
    port: int
    path: str
    body: Callable[[list[str]], bytes]
    processes: Callable[[], list[psutil.Process]]

    def vectors(self, texts: list[str]) -> NDArray[np.float32]:
        """The server's answer for the texts. Raises ``OSError``."""
        url, kind = f"http://127.0.0.1:{self.port}{self.path}", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, self.body(texts), kind), timeout=60) as answer:
            return read_vectors(answer.read())


def read_vectors(answer: bytes) -> NDArray[np.float32]:
    """The rows of an answer in OpenAI's shape, numbers or base64."""
    rows = [item["embedding"] for item in orjson.loads(answer)["data"]]
    return np.array([_row(row) for row in rows], dtype=np.float32)


def _row(row: Any) -> Any:
    return np.frombuffer(base64.b64decode(row), dtype="<f4") if isinstance(row, str) else row


def muster(server: Server, name: str = "Muster") -> Contender:
    """As the `openai` SDK asks: base64."""
    return Contender(
        name,
        server.port,
        "/v1/embeddings",
        lambda texts: embed_body(texts if len(texts) > 1 else texts[0]),
        server.processes,
    )


@contextlib.contextmanager
def infinity(environment: Path, engine: str, folder: Path) -> Iterator[Contender]:
    """infinity-emb with one of its engines, as its command line starts it; base64. It runs in the model's folder,
    because its ONNX engine finds no file by an absolute path."""
    port = free_port()
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--model-id": ".",
        "--served-model-name": SERVED_NAME,
        "--engine": engine,
        "--device": "cpu",
        "--dtype": "float32",
        "--pooling-method": "mean",
        "--log-level": "warning",
    }
    command = [str(environment / "infinity_emb"), "v2", *(word for option in options.items() for word in option)]
    command.append("--no-model-warmup")  # It would take a minute; the first round warms everybody up.

    def body(texts: list[str]) -> bytes:
        return orjson.dumps({"model": SERVED_NAME, "input": texts, "encoding_format": "base64"})

    with _running(f"infinity-emb, {engine}", command, port, body, folder) as contender:
        yield contender


@contextlib.contextmanager
def plain_fastapi(environment: Path, folder: Path) -> Iterator[Contender]:
    """``peer_fastapi.py`` in uvicorn, one worker."""
    port = free_port()
    command = [str(environment / "uvicorn"), "peer_fastapi:app", "--app-dir", str(Path(__file__).parent)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    with _running(
        "FastAPI + sentence-transformers", command, port, lambda texts: orjson.dumps({"input": texts}), folder
    ) as contender:
        yield contender


@contextlib.contextmanager
def _running(
    name: str, command: Sequence[str], port: int, body: Callable[[list[str]], bytes], folder: Path
) -> Iterator[Contender]:
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(prefix="muster-bench-") as cache:
        surroundings = _surroundings(folder, Path(cache))
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=surroundings, start_new_session=True
        )

        def processes() -> list[psutil.Process]:
            root = psutil.Process(process.pid)
            return [root, *root.children(recursive=True)]

        contender = Contender(name, port, "/embeddings", body, processes)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not _answers(contender):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{name} did not start:\n{log.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.5)
            yield contender
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _surroundings(folder: Path, cache: Path) -> dict[str, str]:
    """``cache``: where infinity-emb keeps the graph that it has optimised."""
    threads = str(load_settings().threads)
    ours = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(cache),
        "DO_NOT_TRACK": "1",
        "MODEL": str(folder),
    }
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | ours


def _answers(contender: Contender) -> bool:
    try:
        return len(contender.vectors(["ready?"])) == 1
    except (urllib.error.URLError, OSError, KeyError, ValueError):
        return False


@contextlib.contextmanager
def at_rest(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Stop these processes for a while, so that what they do when nobody asks is not on another's account."""
    try:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        if processes:
            time.sleep(BREATH_S)
