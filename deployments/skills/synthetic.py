"""The documented synthetic data set: students with known skills, observed through noisy features in the real units.

No labelled real data is public, so every model trained on this says ``synthetic_model: true``. One row is one student:
level (developing, medium, high) and grade (2..8) -> four correlated latent traits -> how much was observed (words,
events) -> features. Rates are binomial counts over the observed amount, so short transcripts give noisy rates, as in
reality. A target is the mean of three raters, each the logistic of the trait plus rating noise. Then values go missing:
whole groups (no transcript, no telemetry) and single features. ``docs/training-data.md`` describes it for readers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from deployments.skills.features import FEATURES, INDEX, SKILLS, Skill

Column = NDArray[np.float64]
GENERATOR_VERSION = "1"
LEVEL_SHIFT = (-1.3, 0.0, 1.3)
"""Mean of the traits of developing, medium and high students, in within-level standard deviations."""
TRAIT_CORRELATION = 0.4
RATERS, RATER_NOISE = 3, 0.07
NO_LINGUISTIC, NO_BEHAVIORAL, SINGLE_MISSING = 0.06, 0.06, 0.03


@dataclass(frozen=True, slots=True)
class SyntheticData:
    """``base`` is ``(n, 25)`` float32 in model order with NaN; each target and ``grade``, ``level`` are ``(n,)``."""

    base: NDArray[np.float32]
    targets: Mapping[Skill, NDArray[np.float32]]
    grade: NDArray[np.int64]
    level: NDArray[np.int64]


def generate(rows: int, seed: int) -> SyntheticData:
    """Make ``rows`` students; the same arguments give the same data."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 3, rows)
    grade = rng.integers(2, 9, rows)
    traits = _traits(rng, level)
    columns = _linguistic(rng, traits, grade) | _behavioral(rng, traits, grade)
    base = np.column_stack([columns[feature.name] for feature in FEATURES]).astype(np.float32)
    low, high = (np.array([getattr(f, side) for f in FEATURES], np.float32) for side in ("low", "high"))
    base = np.clip(base, low, high)
    _hide(rng, base)
    targets: dict[Skill, NDArray[np.float32]] = {skill: _rated(rng, traits[skill]) for skill in SKILLS}
    return SyntheticData(base, targets, grade, level)


def _traits(rng: Generator, level: NDArray[np.int64]) -> dict[Skill, Column]:
    """Four latent traits, correlated within a level; standard deviation 1 within, about 1.46 over all levels."""
    covariance = np.full((4, 4), TRAIT_CORRELATION) + (1 - TRAIT_CORRELATION) * np.eye(4)
    drawn = rng.multivariate_normal(np.zeros(4), covariance, len(level)) + np.take(LEVEL_SHIFT, level)[:, None]
    return {skill: drawn[:, i] for i, skill in enumerate(SKILLS)}


def _rated(rng: Generator, trait: Column) -> NDArray[np.float32]:
    """The mean of three raters on 0..1."""
    ratings = _logistic(0.9 * trait)[:, None] + rng.normal(0, RATER_NOISE, (len(trait), RATERS))
    mean: NDArray[np.float32] = ratings.clip(0, 1).mean(axis=1).astype(np.float32)
    return mean


def _logistic(x: Column) -> Column:
    result: Column = 1 / (1 + np.exp(-x))
    return result


def _share(rng: Generator, trait: Column, centre: float, slope: float, amount: Column, noise: float = 0.25) -> Column:
    """A rate around ``centre`` that grows with the trait, observed over ``amount`` words or events."""
    offset = np.log(centre / (1 - centre))
    truth = _logistic(offset + slope * trait + rng.normal(0, noise, len(trait)))
    result: Column = rng.binomial(amount.astype(np.int64), truth) / np.maximum(amount, 1)
    return result


def _linguistic(rng: Generator, traits: Mapping[Skill, Column], grade: NDArray[np.int64]) -> dict[str, Column]:
    """The 16 linguistic features; volume and complexity grow with the grade, rates with the traits."""
    n = len(grade)
    older = (grade - 5) / 3
    empathy, solving, regulation, resilience = (traits[skill] for skill in SKILLS)
    words = np.exp(np.log(140) + 0.2 * older + 0.22 * regulation + rng.normal(0, 0.4, n)).clip(12, 900).round()
    sentence = (12 + 2.2 * older + 1.6 * regulation + rng.normal(0, 2.2, n)).clip(3, 40)
    tree = (3.5 + 0.45 * older + 0.4 * solving + rng.normal(0, 0.7, n)).clip(1, 12)
    tone = rng.normal(0, 0.12, n)
    counts = {"noun_count": 0.2, "verb_count": 0.18, "adj_count": 0.07, "adv_count": 0.06}
    return {
        "empathy_markers": _share(rng, empathy, 0.13, 0.42, words),
        "problem_solving_language": _share(rng, solving, 0.09, 0.42, words),
        "perseverance_indicators": _share(rng, resilience, 0.07, 0.42, words),
        "social_processes": _share(rng, empathy, 0.11, 0.38, words),
        "cognitive_processes": _share(rng, solving, 0.075, 0.4, words),
        "positive_sentiment": 0.3 + 0.1 * empathy + tone + rng.normal(0, 0.08, n),
        "negative_sentiment": (-0.13 + 0.06 * resilience + 0.3 * tone + rng.normal(0, 0.05, n)).clip(-1, 0),
        "avg_sentence_length": sentence,
        "syntactic_complexity": tree,
        "word_count": words,
        "unique_word_count": (words**0.86 * np.exp(rng.normal(0, 0.06, n))).clip(1, words).round(),
        "readability_score": (100 - 1.6 * sentence - 4 * older + rng.normal(0, 7, n)).clip(0, 100),
        **{name: rng.binomial(words.astype(np.int64), share).astype(float) for name, share in counts.items()},
    }


def _behavioral(rng: Generator, traits: Mapping[Skill, Column], grade: NDArray[np.int64]) -> dict[str, Column]:
    """The 9 behavioural features of one play period; rates are observed over tasks, retries and events."""
    n = len(grade)
    empathy, solving, regulation, resilience = (traits[skill] for skill in SKILLS)
    events = np.exp(np.log(110) + 0.1 * (grade - 5) / 3 + rng.normal(0, 0.5, n)).clip(8, 900).round()
    tasks = (events / 7).round().clip(2, None)
    retries = rng.poisson(np.exp(1.05 + 0.38 * resilience - 0.16 * solving)).astype(float)
    return {
        "task_completion_rate": _share(rng, solving, 0.66, 0.75, tasks, noise=0.3),
        "time_efficiency": np.exp(-0.02 + 0.26 * solving + rng.normal(0, 0.22, n)),
        "retry_count": retries,
        "recovery_rate": np.where(retries > 0, _share(rng, resilience, 0.6, 0.95, retries, noise=0.3), np.nan),
        "distraction_resistance": _share(rng, regulation, 0.8, 0.62, events),
        "focus_duration": np.exp(np.log(900) + 0.42 * regulation + rng.normal(0, 0.3, n)),
        "collaboration_indicators": rng.poisson(np.exp(1.3 + 0.38 * empathy)).astype(float),
        "leadership_indicators": rng.poisson(np.exp(0.9 + 0.3 * empathy + 0.1 * solving)).astype(float),
        "event_count": events,
    }


def _hide(rng: Generator, base: NDArray[np.float32]) -> None:
    """Set values to NaN in place: whole groups, never both, and single features (never the observed amounts)."""
    n = len(base)
    drawn = rng.random(n)
    linguistic = np.array([feature.group == "linguistic" for feature in FEATURES])
    base[np.ix_(drawn < NO_LINGUISTIC, linguistic)] = np.nan
    base[np.ix_(drawn > 1 - NO_BEHAVIORAL, ~linguistic)] = np.nan
    single = rng.random(base.shape) < SINGLE_MISSING
    single[:, [INDEX["word_count"], INDEX["event_count"]]] = False
    base[single] = np.nan
