"""Requirement 1: what HTTP answers equals sentence-transformers, for every way a client may ask."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.bare import reference
from benchmarks.checks.verdict import Verdict
from benchmarks.texts import Texts

TOLERANCE = 1e-5
ODD_TEXTS = ["", " ", "a", "\n\t", "naïve café – 你好 🙂", "x" * 5_000, "UPPER lower", "a\u0301" * 50]


def openai_client(port: int) -> Any:
    from openai import OpenAI

    return OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=120)


def sdk_equals_reference(port: int) -> Verdict:
    """Float and base64, string and list, short, long and odd texts, through the ``openai`` SDK."""
    verdict = Verdict("embeddings through the openai SDK equal sentence-transformers")
    client, model = openai_client(port), reference(threads=1)
    texts = Texts(1).mixed(64) + Texts(2).short(16) + ODD_TEXTS
    expected = model.encode(texts, batch_size=16, show_progress_bar=False)
    for encoding in ("float", "base64"):
        answer = client.embeddings.create(
            model="embedding", input=texts, encoding_format=encoding, extra_body={"truncate": "end"}
        )
        got = np.array([_vector(row.embedding) for row in answer.data])
        verdict.require_at_most(f"largest difference, list, {encoding}", float(np.abs(got - expected).max()), TOLERANCE)
        one = client.embeddings.create(model="embedding", input=texts[0], encoding_format=encoding)
        difference = np.abs(np.array(_vector(one.data[0].embedding)) - expected[0]).max()
        verdict.require_at_most(f"largest difference, string, {encoding}", float(difference), TOLERANCE)
    plain = client.embeddings.create(model="all-minilm-l6-v2", input=texts[:4])
    verdict.require_at_most("largest difference, SDK default", _difference(plain, expected[:4]), TOLERANCE)
    return verdict


def _vector(embedding: Any) -> Any:
    """The SDK decodes base64 only where it chose it itself."""
    if isinstance(embedding, str):
        import base64

        return np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    return embedding


def _difference(answer: Any, expected: Any) -> float:
    return float(np.abs(np.array([_vector(row.embedding) for row in answer.data]) - expected).max())


def stsb(port: int, file: Path) -> Verdict:
    """STS-B development set: Spearman of cosine similarities through HTTP against the bare model's."""
    verdict = Verdict("STS-B dev Spearman through HTTP equals the bare model's")
    with file.open(encoding="utf-8") as lines:
        rows = [row for row in csv.reader(lines) if len(row) == 3]
    texts = sorted({text for row in rows for text in row[:2]})
    client, model = openai_client(port), reference(threads=1)
    served = np.concatenate([_embed(client, texts[start : start + 1024]) for start in range(0, len(texts), 1024)])
    bare = model.encode(texts, batch_size=32, show_progress_bar=False)
    scores = [float(row[2]) for row in rows]
    figures = {name: _spearman(dict(zip(texts, m, strict=True)), rows, scores) for name, m in _named(served, bare)}
    verdict.figures.update(figures)
    verdict.require_at_most("difference", abs(figures["served"] - figures["bare"]), 0.001)
    return verdict


def _named(served: Any, bare: Any) -> list[tuple[str, Any]]:
    return [("served", served), ("bare", bare)]


def _embed(client: Any, texts: list[str]) -> Any:
    answer = client.embeddings.create(model="embedding", input=texts, extra_headers={"X-Deadline-Ms": "120000"})
    return np.array([row.embedding for row in answer.data])


def _spearman(vectors: dict[str, Any], rows: list[list[str]], scores: list[float]) -> float:
    cosine = [
        float(np.dot(vectors[a], vectors[b]) / (np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b])))
        for a, b, _ in rows
    ]
    return float(spearmanr(cosine, scores).statistic)
