"""What goes together over the entries: Spearman's rank correlation of a few pairs that were chosen beforehand."""

import numpy as np

from deployments.journal.days import alike, means
from deployments.journal.entries import Floats, Journal
from deployments.journal.finding import Effect, Finding, Tested

FEWEST = 10
WORDS = {
    "words": "the length of an entry",
    "gap_days": "the pause before an entry",
    "sentiment": "its sentiment",
    "mood": "the mood given with it",
}


def columns(journal: Journal, words: Floats) -> dict[str, Floats]:
    """What is compared, one value an entry; NaN where unknown. ``words``: length of each entry."""
    found = {"words": words, "gap_days": np.diff(journal.days, prepend=np.nan), "mood": journal.mood}
    if journal.polarity is not None:
        found["sentiment"] = journal.polarity
    return found


def correlation_tests(journal: Journal, words: Floats) -> list[Tested]:
    """Each pair by itself, over daily means; pairs with fewer than ten days that have both, or without variation, are left
    out."""
    known = columns(journal, words)
    pairs = [("words", "sentiment"), ("gap_days", "sentiment"), ("mood", "sentiment"), ("words", "mood")]
    tests = [_tested(journal, pair, known) for pair in pairs if pair[0] in known and pair[1] in known]
    return [test for test in tests if test is not None]


def _tested(journal: Journal, pair: tuple[str, str], known: dict[str, Floats]) -> Tested | None:
    from scipy.stats import pearsonr, rankdata

    both = np.flatnonzero(np.isfinite(known[pair[0]]) & np.isfinite(known[pair[1]]))
    one, other = (means(journal.dates[both], known[name][both])[1] for name in pair)
    if len(one) < FEWEST or alike(one) or alike(other):
        return None
    # Spearman's rho is Pearson's r of the ranks, and that one comes with an interval (Fisher's transformation).
    found = pearsonr(rankdata(one), rankdata(other))
    rho, interval = float(found.statistic), found.confidence_interval(0.95)

    def tell() -> Finding:
        together = "rises with" if rho > 0 else "falls with"
        return Finding(
            f"{pair[1].capitalize()} {together} {pair[0].replace('_', ' ')}",
            f"Over {len(one)} days {WORDS[pair[1]]} {together} {WORDS[pair[0]]}. Which causes which, this cannot tell.",
            Effect("spearman_rho", rho, float(interval.low), float(interval.high)),
            journal.ids(both),
            {"between": list(pair), "rho": rho, "days": len(one), "entries": len(both)},
        )

    return Tested("correlation", "Spearman's rho, daily means", float(found.pvalue), tell)
