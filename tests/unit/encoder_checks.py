"""What every encoder engine must hold, as functions of an engine and its reference."""

import numpy as np

from deployments.engines.base import Engine
from deployments.engines.pooling import normalize

TOLERANCE = 1e-5
TEXTS = [
    "",
    "   ",
    "a",
    "Muster puts every model on duty.",
    "[SEP]",
    "[CLS] a [PAD] </s> <s> <pad> <mask>",
    "naïve café 漢字 😀 \u200b \u0301",
    "\x00 \x07 control\r\n\ttabs",
    "x" * 500,
]


def embed(engine: Engine, texts: list[str]) -> np.ndarray:
    items = engine.prepare(texts, {"truncate": "end"})
    return np.stack(engine.run(items))


def expected(reference, texts: list[str]) -> np.ndarray:
    return reference.encode(texts, convert_to_numpy=True, show_progress_bar=False)


def assert_equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert np.abs(normalize(found) - normalize(wanted)).max() <= TOLERANCE
    assert np.allclose(found, wanted, rtol=1e-4, atol=TOLERANCE)


def assert_texts_equal(engine: Engine, reference, texts: list[str]) -> None:
    """Batched, alone, and in another order."""
    wanted = expected(reference, texts)
    assert_equal(embed(engine, texts), wanted)
    assert_equal(embed(engine, texts[::-1]), wanted[::-1])
    assert_equal(np.concatenate([embed(engine, [text]) for text in texts]), wanted)


def around_the_limit(limit: int) -> list[str]:
    """Texts of 0 and 1 tokens, and of limit-1, limit, limit+1 and many more; special tokens are two."""
    return ["", "a", *[" ".join(["a"] * (limit - 2 + more)) for more in (-1, 0, 1, 100)]]
