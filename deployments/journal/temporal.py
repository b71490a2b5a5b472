"""How the writer feels by weekday and by time of day, how much that varies, and on which days there are entries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.journal.days import alike, means
from deployments.journal.entries import Floats, Journal
from deployments.journal.finding import ALPHA, Effect, Finding, Kind, Tested
from deployments.multiple_tests import holm

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TIMES = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight."""
FEWEST, FEWEST_IN_GROUP = 14, 3
FEWEST_IN_HALF = 8
RESAMPLES = 500


def temporal_tests(journal: Journal) -> list[Tested]:
    """All four, as far as there are enough entries."""
    varied = _variability(journal, *journal.feeling) if journal.feeling else None
    return [*group_tests(journal), *(test for test in (varied, _rhythm(journal)) if test is not None)]


def group_tests(journal: Journal) -> list[Tested]:
    """By weekday and by time of day."""
    if journal.feeling is None:
        return []
    tests = (_by_weekday(journal, *journal.feeling), _by_time(journal, *journal.feeling))
    return [test for test in tests if test is not None]


def time_of_day(hours: Floats) -> NDArray[np.int64]:
    return (hours // 6).astype(np.int64)


def _by_weekday(journal: Journal, name: str, values: Floats) -> Tested | None:
    dates, found = means(journal.dates, values)
    groups = (dates - 1) % 7  # day 1 of the year 1 was a Monday
    return _compared("weekday_pattern", journal, name, found, groups, WEEKDAYS, journal.weekdays)


def _by_time(journal: Journal, name: str, values: Floats) -> Tested | None:
    """One value a day and time of day. Those of one day go together, which makes times more alike and never less."""
    times = time_of_day(journal.hours)
    places, found = means(len(TIMES) * journal.dates + times, values)
    return _compared("time_of_day_pattern", journal, name, found, places % len(TIMES), TIMES, times)


def _compared(
    kind: Kind,
    journal: Journal,
    name: str,
    values: Floats,
    groups: NDArray[np.int64],
    names: Sequence[str],
    of_entries: NDArray[np.int64],
) -> Tested | None:
    """Kruskal and Wallis over groups of three or more; None where two groups or 14 values are not reached."""
    from scipy.stats import kruskal

    large = [group for group in range(len(names)) if (groups == group).sum() >= FEWEST_IN_GROUP]
    kept = np.isin(groups, large)
    values, groups = values[kept], groups[kept]
    if len(large) < 2 or len(values) < FEWEST or alike(values):
        return None
    found = kruskal(*(values[groups == group] for group in large))
    strength = float(found.statistic) / (len(values) - 1)

    def tell() -> Finding:
        return _tell_groups(journal, name, values, groups, names, large, strength, of_entries)

    return Tested(kind, "Kruskal-Wallis", float(found.pvalue), tell)


def _tell_groups(
    journal: Journal,
    name: str,
    values: Floats,
    groups: NDArray[np.int64],
    names: Sequence[str],
    large: Sequence[int],
    strength: float,
    of_entries: NDArray[np.int64],
) -> Finding:
    """Each group against the rest, by Mann and Whitney's test, corrected among themselves; and which of them stand out."""
    from scipy.stats import mannwhitneyu

    tested = [mannwhitneyu(values[groups == group], values[groups != group]) for group in large]
    corrected = holm([float(each.pvalue) for each in tested])
    certain = {group for group, p in zip(large, corrected, strict=True) if p <= ALPHA}
    standing = sorted(certain.intersection(_standing(values, groups, large)))
    rows = {
        names[group]: {
            "mean": float(values[groups == group].mean()),
            "values": int((groups == group).sum()),
            "p_corrected": p,
            **_difference(values[groups == group], values[groups != group]),
        }
        for group, p in zip(large, corrected, strict=True)
    }
    told = [f"{names[group]} ({rows[names[group]]['difference']:+.2f} against the rest)" for group in standing]
    description = f"The {name} differs between {'weekdays' if names is WEEKDAYS else 'times of day'}" + (
        f"; what stands out: {', '.join(told)}." if told else ", though none of them by itself."
    )
    evidence = np.isin(of_entries, standing or large)
    data: Mapping[str, Any] = {"measure": name, "groups": rows, "stands_out": [names[group] for group in standing]}
    days = data["stands_out"]
    title = f"{' and '.join(days)} stand{'s' * (len(days) == 1)} out" if days else f"The {name} follows the calendar"
    advice = _advice(rows, days)
    return Finding(title, description, Effect("epsilon_squared", strength), journal.ids(evidence), data, advice)


def _standing(values: Floats, groups: NDArray[np.int64], large: Sequence[int]) -> list[int]:
    """Groups that stand out one after the other: the surest goes, until those that are left do not differ any more.

    One bright group alone makes every other darker than its rest.
    """
    from scipy.stats import kruskal, mannwhitneyu

    left, found = [*large], list[int]()
    while len(left) > 1:
        own = {group: values[groups == group] for group in left}
        if alike(np.concatenate([*own.values()])) or kruskal(*own.values()).pvalue > ALPHA:
            break
        rest = {group: np.concatenate([own[other] for other in left if other != group]) for group in left}
        mean = values.mean()
        # Of two that are left each is as sure as the other: the one farther from the mean of all stands out.
        surest = min(left, key=lambda g: (mannwhitneyu(own[g], rest[g]).pvalue, -abs(own[g].mean() - mean)))
        found.append(surest)
        left.remove(surest)
    return found


def _advice(rows: Mapping[str, Mapping[str, Any]], standing: Sequence[str]) -> list[str]:
    low = [group for group in standing if rows[group]["difference"] < 0]
    high = [group for group in standing if rows[group]["difference"] > 0]
    return [f"{group}: plan something small that does you good." for group in low] + [
        f"{group}: see what is different then, and keep it." for group in high
    ]


def _difference(one: Floats, other: Floats) -> dict[str, float]:
    """Difference of the means with a 95 % percentile bootstrap interval."""
    from scipy.stats import bootstrap

    def statistic(x: Floats, y: Floats, axis: int = -1) -> Any:
        return x.mean(axis=axis) - y.mean(axis=axis)

    found = bootstrap((one, other), statistic, n_resamples=RESAMPLES, method="percentile", rng=0).confidence_interval
    return {"difference": float(one.mean() - other.mean()), "lower": float(found.low), "upper": float(found.high)}


def _variability(journal: Journal, name: str, values: Floats) -> Tested | None:
    """Brown and Forsythe's test: does the feeling vary as much on the second half of the days as on the first?

    Compared are daily means of the distances from a half's median, not distances of daily means: those would be the smaller
    the more entries a day has.
    """
    from scipy.stats import f_oneway

    known = np.flatnonzero(np.isfinite(values))
    days = np.unique(journal.dates[known])
    if len(days) < 2 * FEWEST_IN_HALF:
        return None
    late = journal.dates[known] >= days[len(days) // 2]
    halves = [(journal.dates[known][rows], values[known][rows]) for rows in (~late, late)]
    before, after = (means(dates, np.abs(own - np.median(own)))[1] for dates, own in halves)
    if any(alike(own) for _, own in halves) or (alike(before) and alike(after)):
        return None
    ratio = float(after.mean() / before.mean())

    def tell() -> Finding:
        more = ratio > 1
        return Finding(
            f"{name.capitalize()} varies {'more' if more else 'less'} than before",
            f"The {name} spreads {ratio:.2f} times as much on the second half of the days as on the first.",
            Effect("ratio_of_mean_distances", ratio),
            journal.ids(known),
            {"measure": name, "first_half": float(before.mean()), "second_half": float(after.mean())},
            ("Note what the best and the worst of the latest days had in common.",) if more else (),
        )

    return Tested("mood_variability", "Brown-Forsythe, daily means", float(f_oneway(before, after).pvalue), tell)


def _rhythm(journal: Journal) -> Tested | None:
    """Are there entries on some weekdays more often than on others? Days with and without, over all days of the span."""
    from scipy.stats import chi2_contingency

    first, last = int(journal.dates.min()), int(journal.dates.max())
    there = np.bincount((np.arange(first, last + 1) - 1) % 7, minlength=7)
    written = np.bincount((np.unique(journal.dates) - 1) % 7, minlength=7)
    table = np.array([written, there - written])
    if there.min() < 4 or not table.sum(axis=1).all():
        return None
    found = chi2_contingency(table)
    if found.expected_freq.min() < 3:
        return None
    strength = float(np.sqrt(found.statistic / there.sum()))
    shares = {name: float(written[day] / there[day]) for day, name in enumerate(WEEKDAYS)}

    def tell() -> Finding:
        most, least = max(shares, key=lambda day: shares[day]), min(shares, key=lambda day: shares[day])
        return Finding(
            f"Most entries are written on {most}s",
            f"There is an entry on {shares[most]:.0%} of all {most}s and on {shares[least]:.0%} of all {least}s.",
            Effect("cramers_v", strength),
            journal.ids(slice(None)),
            {"share_of_days_with_an_entry": shares},
        )

    return Tested("writing_rhythm", "chi-square", float(found.pvalue), tell)
