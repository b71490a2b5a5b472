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
        """Hundredths lost; negative when the 8-bit engine is better."""
        return 100 * (self.before - self.after)

    @property
    def passed(self) -> bool:
        return self.drop_points <= ALLOWED_POINTS[self.metric]


def rank_correlation(pairs: RatedPairs, exact: Encode, eight: Encode) -> Accuracy:
    """Spearman's, of the scores and the cosines of both texts."""
    before, after = normalize(exact(pairs.texts)), normalize(eight(pairs.texts))
    values = [_spearman(vectors, pairs.scores) for vectors in (before, after)]
    return Accuracy("spearman", len(pairs.scores), *values, float((before * after).sum(axis=1).mean()))


def label_agreement(inputs: Sequence[Any], exact: Encode, eight: Encode, *, several: bool = False) -> Accuracy:
    """The share of inputs for which both choose the same label; with ``several`` the same set, of those above 0.5."""
    before, after = exact(inputs), eight(inputs)
    if several:
        same = ((before > 0.5) == (after > 0.5)).all(axis=1)
    else:
        same = before.argmax(axis=1) == after.argmax(axis=1)
    return Accuracy("label_agreement", len(inputs), 1.0, float(same.mean()))


def _spearman(vectors: Floats, scores: Sequence[float]) -> float:
    """``vectors``: those of all first texts, then of all second ones, of length 1."""
    from scipy.stats import spearmanr

    first, second = np.split(vectors, 2)
    return float(spearmanr((first * second).sum(axis=1), scores).statistic)
