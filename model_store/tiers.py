"""Which model each tier prefers for each role, and what stands in when it has no room."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model_store.catalogue import ROLES, Catalogue, ModelSpec
from model_store.machine import TIERS, Tier

PREFERRED: Mapping[Tier, Mapping[str, str]] = {
    "basic": {
        "embedding": "all-minilm-l6-v2",
        "emotion": "emotion-english-distilroberta-base",
        "sentiment": "twitter-roberta-base-sentiment-latest",
        "zero-shot": "all-minilm-l6-v2",
        "chat": "dialogpt-small",
        "summarize": "bart-large-cnn",
    },
    "standard": {
        "embedding": "all-mpnet-base-v2",
        "emotion": "emotion-english-roberta-large",
        "sentiment": "twitter-roberta-base-sentiment-latest",
        "zero-shot": "bart-large-mnli",
        "chat": "dialogpt-medium",
        "summarize": "bart-large-cnn",
    },
    "high": {
        "embedding": "e5-large-v2",
        "emotion": "emotion-english-roberta-large",
        "sentiment": "twitter-roberta-base-sentiment-latest",
        "zero-shot": "bart-large-mnli",
        "chat": "phi-2",
        "summarize": "bart-large-cnn",
    },
    "enterprise": {
        "embedding": "multilingual-e5-large",
        "emotion": "emotion-english-roberta-large",
        "sentiment": "twitter-roberta-base-sentiment-latest",
        "zero-shot": "bart-large-mnli",
        "chat": "mistral-7b-instruct",
        "summarize": "bart-large-cnn",
    },
}
"""Classifiers for classifying: a dialogue model has no head for emotions, a sentiment model none for entailment."""


@dataclass(frozen=True)
class Wanted:
    """Models that may play ``role`` (empty for a model without one), the preferred one first."""

    role: str
    chain: tuple[ModelSpec, ...]


def wanted_models(catalogue: Catalogue, tier: Tier, only: tuple[str, ...] = ()) -> tuple[Wanted, ...]:
    """One entry a role, or what ``only`` names: roles, and keys, which nothing stands in for.

    Raises ``UnknownModel``.
    """
    # By key: a model may be named twice, by its key and by its hub id.
    named = {spec.key: spec for spec in (catalogue.resolve(name) for name in only if name not in ROLES)}
    exact = [Wanted(role, (spec,)) for spec in named.values() for role in spec.roles or ("",)]
    taken = {wanted.role for wanted in exact}
    roles = [role for role in ROLES if (role in only or not only) and role not in taken]
    chosen = [*exact, *(Wanted(role, _chain(catalogue, tier, role)) for role in roles)]
    order = (*ROLES, "")
    return tuple(sorted(chosen, key=lambda wanted: order.index(wanted.role)))


def _chain(catalogue: Catalogue, tier: Tier, role: str) -> tuple[ModelSpec, ...]:
    """The preferred model, its fallbacks, then the same of each lower tier; without repeats."""
    by_key = {spec.key: spec for spec in catalogue.models}
    return tuple(by_key[key] for key in dict.fromkeys(_keys(by_key, tier, role)) if key in by_key)


def _keys(by_key: Mapping[str, ModelSpec], tier: Tier, role: str) -> Iterator[str]:
    for level in reversed(TIERS[: TIERS.index(tier) + 1]):
        key = PREFERRED[level][role]
        yield key
        if key in by_key:
            yield from by_key[key].fallback
