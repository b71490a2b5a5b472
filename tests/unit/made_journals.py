"""Journals with planted patterns and journals of noise, as the models would have seen them."""

from datetime import UTC, datetime, timedelta

import numpy as np

from deployments.journal.entries import Entry, Journal

FIRST = datetime(2026, 1, 5, 0, tzinfo=UTC)
"""A Monday."""
DIMENSIONS = 384
TOPICS = (
    ["garden", "tomatoes", "roses", "compost", "seeds", "hedge", "greenhouse", "spade"],
    ["meeting", "deadline", "manager", "report", "office", "customer", "contract", "budget"],
)
COMMON = ["today", "later", "maybe", "outside", "inside", "again", "before", "after", "almost", "quite"]


def make_journal(
    count=107, seed=0, weekday=0.0, evening=0.0, trend=0.0, themes=0.0, theme_mood=0.0, moods=False, texts=None
):
    """One entry on most days. ``weekday``: added to Mondays' polarity; ``evening``: to evenings'; ``trend``: from first to
    last entry; ``themes``: distance of two topics; ``theme_mood``: added to the second topic's polarity."""
    random = np.random.default_rng(seed)
    topic = random.integers(0, 2, count)
    entries, polarity, day = [], [], 0
    for number in range(count):
        day += int(random.choice([1, 1, 1, 2]))
        at = FIRST + timedelta(days=day, hours=float(random.uniform(6, 23.9)))
        words = TOPICS[topic[number]] if themes else COMMON
        text = texts[number] if texts else " ".join(random.choice(words, int(random.integers(20, 120))))
        mood = float(random.integers(0, 11)) if moods else None
        entries.append(Entry(f"e{number}", text, at, mood))
        value = 0.1 + 0.3 * random.standard_normal()
        value += weekday * (at.weekday() == 0) + evening * (at.hour >= 18)
        polarity.append(value + trend * number / count + theme_mood * topic[number])
    centres = random.standard_normal((2, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    spread = random.standard_normal((count, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    embeddings = spread * 0.6 + random.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS) + themes * centres[topic]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Journal(tuple(entries), random.dirichlet(np.ones(7), count), np.clip(polarity, -1, 1), embeddings), topic
