"""The two things that serving is compared with, in this process: the bare engine, and SentenceTransformer.encode."""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.settings import load_settings
from model_store.settings import load_settings as load_store_settings
from model_store.store import ModelStore
from model_store.stored_model import StoredModel
from serve_app.environment import THROUGHPUT

KEY = "all-minilm-l6-v2"


def as_in_replicas() -> None:
    """Start this process again with the C library settings that replicas run with, which it reads only at its start."""
    settings = {"GLIBC_TUNABLES": THROUGHPUT["GLIBC_TUNABLES"]}
    if not settings.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **settings})


@contextmanager
def scratch_home() -> Iterator[Path]:
    """A data folder for measurements, with the models of the user's own and nothing else of it."""
    mine = load_store_settings().store_dir
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        if mine.is_dir():
            shutil.copytree(mine, Path(folder) / "store")
        before = os.environ.get("MUSTER_HOME")
        os.environ["MUSTER_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("MUSTER_HOME")
            if before is not None:
                os.environ["MUSTER_HOME"] = before


def stored_model() -> StoredModel:
    return ModelStore(load_store_settings().store_dir).open(KEY)


def bare_engine() -> Any:
    """The engine that the replicas run, without a server around it."""
    from deployments.engines.encoders import load_encoder

    engine = load_encoder(stored_model(), load_settings())
    engine.warm()
    return engine


def reference(threads: int | None = None) -> Any:
    """SentenceTransformer on the same files and threads; special strings typed in a text are text, as in Muster."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads or load_settings().threads)
    return SentenceTransformer(str(stored_model().files), device="cpu", local_files_only=True)


def rate(encode: Callable[[list[str]], Any], texts: list[str]) -> float:
    """Texts a second for one call."""
    started = time.perf_counter()
    encode(texts)
    return len(texts) / (time.perf_counter() - started)


def single_ms(encode: Callable[[list[str]], Any], texts: list[str]) -> float:
    """Median milliseconds for one text a call."""
    times = []
    for text in texts:
        started = time.perf_counter()
        encode([text])
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)
