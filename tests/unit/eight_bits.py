"""Toy models in 8 bits: data to judge them by, and stores of their own, since a store keeps what was made."""

import random
from pathlib import Path

from tiny_models import WORDS, settings

from deployments.quantization import quantize
from deployments.trial import in_this_process
from model_store import convert
from model_store.catalogue import Catalogue
from model_store.gate import Gate
from model_store.store import ModelStore

LABELS = ("duty", "engine", "window")


def sentences(count: int, seed: int = 0) -> list[str]:
    random_ = random.Random(seed)
    return [" ".join(random_.choices(WORDS, k=random_.randint(1, 12))) for _ in range(count)]


def write_pairs(path: Path, count: int = 120) -> Path:
    """Rated by the share of words that both have."""
    first, second = sentences(count), sentences(count, seed=1)
    rows = []
    for a, b in zip(first, second, strict=True):
        ours, theirs = set(a.split()), set(b.split())
        rows.append(f"{a},{b},{5 * len(ours & theirs) / len(ours | theirs):.3f}")
    path.write_text("\n".join(rows))
    return path


def write_texts(path: Path, count: int = 120) -> Path:
    path.write_text("\n".join(sentences(count)))
    return path


def own_store(spec, folder: Path) -> ModelStore:
    store = ModelStore(folder, Catalogue(format=1, models=(spec,)), convert.in_this_process)
    store.adopt(spec)
    return store


def quantized(store: ModelStore, key: str, folder: Path, trial=in_this_process) -> Gate:
    """Judged by toy data, in this process."""
    task = store.open(key).task
    data = write_pairs(folder / "pairs.csv") if task == "embedding" else write_texts(folder / "texts.txt")
    return quantize(store, key, data, settings(), lambda line: None, LABELS if task == "zero-shot" else (), trial)
