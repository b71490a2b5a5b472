"""How much an 8-bit engine loses: the same data through the exact engine and through it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.engines.pooling import Floats, normalize
from deployments.trial_data import RatedPairs
from model_store.gate import ALLOWED_POINTS, Metric

Encode = Callable[[Sequence[Any]], Floats]
"""Inputs -> (inputs, width), an engine's ``encode``."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """``before``, ``after``: the metric (0..1) of the exact and the 8-bit engine. ``mean_cosine``: of a text's two
    embeddings."""

    metric: Metric
    items: int
    before: float
    after: float
    mean_cosine: float | None = None

    @property
    def drop_points(self) -> float:
        """Hundredths lost, without the last digits of floating point; negative when the 8-bit engine is better."""
        return round(100 * (self.before - self.after), 6)

    @property
    def passed(self) -> bool:
        return self.drop_points <= ALLOWED_POINTS[self.metric]


def rank_correlation(pairs: RatedPairs, exact: Encode, eight: Encode) -> Accuracy:
    """Spearman's, of the scores and the cosines of both texts."""
    before, after = normalize(exact(pairs.texts)), normalize(eight(pairs.texts))
    cosine = float((before * after).sum(axis=1).mean())
    return Accuracy(
        "spearman", len(pairs.scores), _spearman(before, pairs.scores), _spearman(after, pairs.scores), cosine
    )


def label_agreement(inputs: Sequence[Any], exact: Encode, eight: Encode, *, several: bool = False) -> Accuracy:
    """The share of inputs for which both choose the same label; with ``several`` the same set, of those above 0.5."""
    chosen = [rows > 0.5 if several else rows.argmax(axis=1)[:, None] for rows in (exact(inputs), eight(inputs))]
    same = (chosen[0] == chosen[1]).all(axis=1)
    return Accuracy("label_agreement", len(inputs), 1.0, float(same.mean()))


def _spearman(vectors: Floats, scores: Sequence[float]) -> float:
    """``vectors``: those of all first texts, then of all second ones, of length 1."""
    from scipy.stats import spearmanr

    first, second = np.split(vectors, 2)
    return float(spearmanr((first * second).sum(axis=1), scores).statistic)
