"""Journals that look like real ones: entries of sentences about everyday things, of realistic lengths, each one different."""

import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from typing import Any

TOPICS: Mapping[str, Sequence[str]] = {
    "work": (
        "The meeting with the customer took the whole morning and we moved the deadline again.",
        "My manager asked for the report, and the numbers in the second table were still wrong.",
        "A colleague showed me how the new planning tool works, which saved an hour.",
        "The project is late and everybody in the office knows it.",
        "I answered emails until noon and wrote the offer for the new client after lunch.",
        "We hired somebody for the support desk who starts next month.",
        "The presentation went well enough, though the projector failed twice.",
        "Payroll made a mistake, so I spent an hour on the phone with the accountant.",
    ),
    "garden": (
        "The tomatoes in the greenhouse are finally turning red.",
        "I dug the bed behind the shed and planted onions and two rows of carrots.",
        "Slugs ate the lettuce again, so I put a ring of sand around the pots.",
        "The apple tree needs pruning before the frost comes.",
        "Rain all day, which the roses liked more than I did.",
        "I raked leaves for the compost and found a hedgehog under the hedge.",
        "The seeds that I sowed last week show their first green.",
        "My neighbour gave me a cutting of her fig tree.",
    ),
    "family": (
        "My sister called about the weekend and we talked for an hour.",
        "The children argued over the blue cup at breakfast and made up before school.",
        "Mother told the story of how she met father on the ferry.",
        "We ate soup at the big table and nobody looked at a screen.",
        "My brother needs help with moving, so Saturday is taken.",
        "Grandfather showed the little ones how to whistle on a blade of grass.",
        "My daughter lost her first tooth and is very proud of it.",
        "We looked through the old photographs and laughed at the haircuts.",
    ),
    "sport": (
        "I ran along the river, eight kilometres, slower than last week.",
        "My knee hurts after training, so tomorrow is a day of rest.",
        "The gym was full and I waited for the rowing machine.",
        "We won the match in the last minute by a corner kick.",
        "Swam forty lengths and felt light afterwards.",
        "The bicycle has a new chain and the hill felt half as steep.",
        "The coach wants us to stretch more, and he is right.",
        "I signed up for the half marathon in spring.",
    ),
    "evening": (
        "I read thirty pages of the novel and fell asleep over it.",
        "The film was too long, but the music stays in my head.",
        "I cooked rice with beans and burnt the onions a little.",
        "Tidied the kitchen drawer that nobody dares to open.",
        "The train was late, so I listened to a whole album on the platform.",
        "It rained against the window while I wrote letters.",
        "The cat slept on the keyboard until I gave up.",
        "I tried the bread recipe again, and this time it rose.",
    ),
}
FIRST = datetime(2026, 1, 5, 8, tzinfo=UTC)
MEDIAN_WORDS, LONG_WORDS, LONG_SHARE = 120, 1000, 0.05


class Journals:
    """An endless supply; the same seed gives the same journals."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def entries(
        self, count: int, words: int | None = None, topics: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """One entry a day or two. ``topics``: one topic an entry, drawn from these; None mixes all in every entry.

        ``words``: of each entry; None: log-normal with a median of 120, and every twentieth entry has 1,000.
        """
        lengths = [words] * count if words else self.lengths(count)
        found, at = list[dict[str, Any]](), FIRST
        for number, length in enumerate(lengths):
            at += timedelta(days=self._random.choice((1, 1, 1, 2)))
            written = at + timedelta(hours=self._random.uniform(0, 14))
            topic = self._random.choice(topics) if topics else None
            text = self.text(length or MEDIAN_WORDS, topic)
            found.append({"id": f"entry-{number}", "text": text, "created_at": written.isoformat(timespec="seconds")})
        return found

    def lengths(self, count: int) -> list[int | None]:
        """Words of each entry, in random order."""
        long = math.ceil(count * LONG_SHARE)
        logarithms = NormalDist(math.log(MEDIAN_WORDS), 0.6)
        short = [round(math.exp(logarithms.inv_cdf((part + 0.5) / (count - long)))) for part in range(count - long)]
        lengths: list[int | None] = [*short, *[LONG_WORDS] * long]
        self._random.shuffle(lengths)
        return lengths

    def text(self, words: int, topic: str | None = None) -> str:
        """Sentences of a topic, or of all, until there are so many words."""
        bank = [*TOPICS[topic]] if topic else [sentence for listed in TOPICS.values() for sentence in listed]
        sentences = list[str]()
        written = 0
        while written < words:
            sentence = self._random.choice(bank)
            sentences.append(sentence)
            written += len(sentence.split())
        # A number, so that no two entries are alike.
        return " ".join([f"Page {self._random.randrange(10**6)}.", *sentences])
