"""The two things that serving is compared with, in this process: the bare engine, and SentenceTransformer.encode."""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from deployments.settings import load_settings
from model_store.settings import load_settings as load_store_settings
from model_store.store import ModelStore, StoredModel
from serve_app.environment import THROUGHPUT

KEY = "all-minilm-l6-v2"


def as_in_replicas() -> None:
    """Start this process again with the C library settings that replicas run with, which it reads only at its start."""
    settings = {"GLIBC_TUNABLES": THROUGHPUT["GLIBC_TUNABLES"]}
    if not settings.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **settings})


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
