"""Planted patterns are found, noise has none, and every number can be computed again from the entries."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import orjson
import pytest
from made_journals import FIRST, make_journal
from scipy import stats
from sklearn.metrics import silhouette_score

from deployments.journal.analysis import Question, analyse
from deployments.journal.correlations import columns, correlation_tests
from deployments.journal.days import daily
from deployments.journal.entries import Entry, Journal, select
from deployments.journal.lexicon import count
from deployments.journal.themes import Theme, Themes, theme_tests
from deployments.journal.trend import fit
from deployments.label_sets import EMOTIONS
from deployments.multiple_tests import holm

NOISE_JOURNALS = 60


def temporal(journal):
    """Read back from JSON, which takes no number of numpy's."""
    found = analyse(Question(journal, ["temporal"]))
    assert not found.failed
    return orjson.loads(orjson.dumps(found.parts["temporal"]))


def insights(journal, kind):
    return [each for each in temporal(journal)["insights"] if each["insight_type"] == kind]


# -- planted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_dark_mondays_are_found_and_can_be_computed_again(seed):
    journal, _ = make_journal(weekday=-0.6, seed=seed)
    (found,) = insights(journal, "weekday_pattern")
    data = found["supporting_data"]
    assert data["stands_out"] == ["Monday"]
    mondays = [entry.id for entry in journal.entries if entry.created_at.weekday() == 0]
    assert found["evidence"]["entry_ids"] == mondays
    by_day = {}
    for entry, value in zip(journal.entries, journal.polarity, strict=True):
        by_day.setdefault(entry.created_at.date(), []).append(value)
    means = {day: np.mean(values) for day, values in by_day.items()}
    groups = [[mean for day, mean in means.items() if day.weekday() == weekday] for weekday in range(7)]
    assert found["evidence"]["p_value"] == pytest.approx(stats.kruskal(*groups).pvalue)
    assert found["evidence"]["effect"]["value"] == pytest.approx(stats.kruskal(*groups).statistic / (len(means) - 1))
    monday, rest = groups[0], [mean for group in groups[1:] for mean in group]
    row = data["groups"]["Monday"]
    assert row["mean"] == pytest.approx(np.mean(monday))
    assert row["difference"] == pytest.approx(np.mean(monday) - np.mean(rest))
    assert row["lower"] < row["difference"] < row["upper"] < 0


def test_bright_evenings_are_found():
    journal, _ = make_journal(evening=0.6)
    (found,) = insights(journal, "time_of_day_pattern")
    assert found["supporting_data"]["stands_out"] == ["evening"]
    assert found["supporting_data"]["groups"]["evening"]["difference"] > 0.3
    assert insights(journal, "weekday_pattern") == []


@pytest.mark.parametrize(("trend", "direction"), [(-0.8, "falling"), (0.8, "rising")])
def test_a_trend_is_found_with_its_direction_and_interval(trend, direction):
    journal, _ = make_journal(trend=trend)
    (found,) = insights(journal, "mood_trend")
    days, means = daily(journal, journal.polarity)
    slope = stats.theilslopes(means, days, 0.95, method="separate")
    effect = found["evidence"]["effect"]
    assert (effect["value"], effect["lower"], effect["upper"]) == (
        pytest.approx(slope.slope), pytest.approx(slope.low_slope), pytest.approx(slope.high_slope)
    )  # fmt: skip
    assert found["supporting_data"]["direction"] == direction
    assert found["evidence"]["p_value"] == pytest.approx(stats.kendalltau(days, means).pvalue)
    assert np.sign(effect["lower"]) == np.sign(effect["upper"]) == np.sign(trend)


def test_the_order_in_which_entries_come_changes_nothing():
    journal, _ = make_journal(trend=-0.8)
    backwards = select(list(reversed(journal.entries)), "all_time", 500)
    assert tuple(backwards) == journal.entries


@pytest.mark.parametrize("seed", range(3))
def test_two_themes_are_found_with_their_entries_and_words(seed):
    journal, topic = make_journal(themes=1.5, seed=seed)
    themes = temporal(journal)["themes"]
    assert themes["found"] == 2
    groups = {frozenset(theme["entries"]) for theme in themes["themes"]}
    planted = {frozenset(journal.ids(topic == which)) for which in (0, 1)}
    assert groups == planted
    garden = next(theme for theme in themes["themes"] if set(theme["entries"]) == set(journal.ids(topic == 0)))
    assert set(garden["terms"]) <= {"garden", "tomatoes", "roses", "compost", "seeds", "hedge", "greenhouse", "spade"}
    assert themes["silhouette"] == pytest.approx(silhouette_score(journal.embeddings, topic, metric="cosine"))
    assert themes["p_value"] <= 0.025


def test_a_theme_that_weighs_on_the_writer_is_found():
    journal, topic = make_journal(themes=1.5, theme_mood=-0.5)
    moods = [each for each in insights(journal, "theme") if each["evidence"]["effect"]["name"] == "rank_biserial"]
    dark = next(each for each in moods if set(each["evidence"]["entry_ids"]) == set(journal.ids(topic == 1)))
    tested = stats.mannwhitneyu(journal.polarity[topic == 1], journal.polarity[topic == 0])
    assert dark["evidence"]["p_value"] == pytest.approx(tested.pvalue)
    assert dark["evidence"]["effect"]["value"] < -0.5


def test_a_correlation_is_found_and_can_be_computed_again():
    plain, _ = make_journal(seed=3)
    lengths = np.round(60 + 60 * plain.polarity).clip(5).astype(int)
    texts = [" ".join(["again"] * length) for length in lengths]
    journal, _ = make_journal(seed=3, texts=texts)
    journal = Journal(journal.entries, plain.emotions, plain.polarity, plain.embeddings)
    (found,) = insights(journal, "correlation")
    tested = stats.spearmanr(lengths, plain.polarity)
    assert found["supporting_data"]["between"] == ["words", "sentiment"]
    assert found["evidence"]["effect"]["value"] == pytest.approx(tested.statistic)
    assert found["evidence"]["p_value"] == pytest.approx(tested.pvalue, abs=1e-6)
    assert found["evidence"]["effect"]["lower"] < tested.statistic < found["evidence"]["effect"]["upper"]


def test_weekends_only_is_a_rhythm():
    journal, _ = make_journal(count=200)
    entries = tuple(entry for entry in journal.entries if entry.created_at.weekday() in (0, 5, 6))
    few = Journal(entries)
    (found,) = [each for each in temporal(few)["insights"] if each["insight_type"] == "writing_rhythm"]
    shares = found["supporting_data"]["share_of_days_with_an_entry"]
    assert shares["Tuesday"] == 0
    assert shares["Saturday"] > 0.5


def test_a_mood_that_begins_to_swing_is_found():
    journal, _ = make_journal()
    half = len(journal) // 2
    calm = np.concatenate([journal.polarity[:half] * 0.2, journal.polarity[half:]])
    (found,) = insights(Journal(journal.entries, None, calm), "mood_variability")
    first, second = calm[:half], calm[half:]
    before, after = (np.abs(values - np.median(values)).mean() for values in (first, second))
    assert found["evidence"]["effect"]["value"] == pytest.approx(after / before)
    # One entry a day: as if there were no days.
    assert found["evidence"]["p_value"] == pytest.approx(stats.levene(first, second, center="median").pvalue)


# -- several entries a day -------------------------------------------------------------------------------------------


def days_of(seed, share, days=30, a_day=4):
    """Entries without a pattern. ``share`` of their feeling's variance is the day's; lengths go by day, too."""
    random = np.random.default_rng(seed)
    entries, polarity, lengths = [], [], np.exp(random.normal(0, 0.5, days))
    for day in range(days):
        mood = random.standard_normal() * np.sqrt(share)
        for hour in np.sort(random.uniform(7, 23, a_day)):
            text = " ".join(["again"] * max(3, int(40 * lengths[day] * np.exp(0.3 * random.standard_normal()))))
            at = FIRST + timedelta(days=day, hours=float(hour))
            entries.append(Entry(f"{day}-{hour:.2f}", text, at))
            polarity.append(0.25 * (mood + np.sqrt(1 - share) * random.standard_normal()))
    return Journal(tuple(entries), None, np.clip(polarity, -1, 1))


def test_entries_of_one_day_are_no_evidence_of_their_own():
    """Four entries a day that share its mood and its length; entry by entry a quarter of such journals had an insight."""
    false = sum(bool(temporal(days_of(seed, 0.8))["insights"]) for seed in range(NOISE_JOURNALS))
    assert stats.binomtest(false, NOISE_JOURNALS, 0.075, alternative="greater").pvalue > 1e-3, false


def test_more_entries_a_day_are_no_calmer_mood():
    random = np.random.default_rng(5)
    entries = [
        Entry(f"{day}-{hour}", "x", FIRST + timedelta(days=day, hours=hour))
        for day in range(60)
        for hour in range(8, 9 if day < 30 else 18)
    ]
    journal = Journal(tuple(entries), None, np.clip(0.3 * random.standard_normal(len(entries)), -1, 1))
    assert insights(journal, "mood_variability") == []


def test_correlations_and_themes_compare_days():
    journal = days_of(1, 0.5)
    rows = np.flatnonzero(np.arange(len(journal)) % 3 == 0)
    days = {date: np.flatnonzero(journal.dates == date) for date in np.unique(journal.dates)}
    (lengths,) = [t for t in correlation_tests(journal, count([e.text for e in journal.entries]).words)
                  if t.tell().data["between"] == ["words", "sentiment"]]  # fmt: skip
    words = np.array([len(entry.text.split()) for entry in journal.entries])
    means = [(words[each].mean(), journal.polarity[each].mean()) for each in days.values()]
    assert lengths.p == pytest.approx(stats.spearmanr(*zip(*means, strict=True)).pvalue, abs=1e-6)
    assert lengths.tell().data["days"] == 30
    (theme,) = theme_tests(journal, Themes([Theme(rows, rows[:3], 0.5)]))
    own = [journal.polarity[each[each % 3 == 0]].mean() for each in days.values()]
    rest = [journal.polarity[each[each % 3 != 0]].mean() for each in days.values()]
    assert theme.p == pytest.approx(stats.mannwhitneyu(own, rest).pvalue)


def test_a_theme_whose_mean_is_lower_is_never_called_brighter():
    values = np.array([0.1] * 30 + [-1.0] * 6 + [0.0, 0.01] * 20)
    entries = tuple(Entry(str(day), "x", FIRST + timedelta(days=day)) for day in range(len(values)))
    (test,) = theme_tests(Journal(entries, None, values), Themes([Theme(np.arange(36), np.arange(3), 0.5)]))
    assert stats.mannwhitneyu(values[:36], values[36:]).pvalue < 1e-4
    assert values[:36].mean() < values[36:].mean()
    assert test.p == 1.0


# -- noise -----------------------------------------------------------------------------------------------------------


def test_noise_has_no_patterns():
    """At most 5 % of journals by the tests, and 2.5 % by the themes; three times that never happens by chance (p < 1e-4)."""
    kinds = Counter()
    false = 0
    for seed in range(NOISE_JOURNALS):
        journal, _ = make_journal(count=60, seed=1000 + seed, moods=True)
        found = {each["insight_type"] for each in temporal(journal)["insights"]}
        kinds.update(found)
        false += bool(found)
    assert stats.binomtest(false, NOISE_JOURNALS, 0.075, alternative="greater").pvalue > 1e-3, kinds
    assert kinds["theme"] <= 6


def moods_that_rise_on_a_coarse_scale(seed, count=100):
    """Mostly 5, more and more often 7: so many pairs of days are equal that the median slope is 0."""
    random = np.random.default_rng(seed)
    moods = np.where(random.random(count) < np.linspace(0.02, 0.45, count), 7.0, 5.0)
    entries = [Entry(f"e{day}", "x", FIRST + timedelta(days=day), mood) for day, mood in enumerate(moods)]
    return Journal(tuple(entries))


def test_a_rising_mood_is_never_called_falling():
    for seed in range(20):
        journal = moods_that_rise_on_a_coarse_scale(seed)
        days, means = daily(journal, journal.mood)
        assert stats.kendalltau(days, means).statistic > 0
        told = insights(journal, "mood_trend")
        assert [each["supporting_data"]["direction"] for each in told] in ([], ["rising"])
        assert all(each["evidence"]["effect"]["value"] for each in told)


def test_rounding_is_no_pattern():
    journal, _ = make_journal(count=60)
    for seed in range(20):
        steps = np.random.default_rng(seed).standard_normal(60)
        rounded = Journal(journal.entries, None, 0.3 + 1e-8 * np.cumsum(steps))
        assert {each["insight_type"] for each in temporal(rounded)["insights"]} <= {"writing_rhythm"}
        assert fit(np.arange(60.0), rounded.polarity).direction == "no_clear_trend"


@pytest.mark.parametrize("shape", ["one", "alike", "same day", "no features"])
def test_journals_without_anything_to_find(shape):
    journal, _ = make_journal(count=12)
    if shape == "one":
        journal = Journal(journal.entries[:1], journal.emotions[:1], journal.polarity[:1], journal.embeddings[:1])
    if shape == "alike":
        journal = Journal(journal.entries, np.full((12, 7), 1 / 7), np.zeros(12), np.ones((12, 8)))
    if shape == "same day":
        day = tuple(Entry(entry.id, entry.text, journal.entries[0].created_at) for entry in journal.entries)
        journal = Journal(day, journal.emotions, journal.polarity, journal.embeddings)
    if shape == "no features":
        journal = Journal(journal.entries)
    found = analyse(Question(journal, ["temporal", "personality", "predictive"]))
    assert found.failed == {}
    assert found.parts["temporal"]["insights"] == []


def test_equal_embeddings_are_no_themes():
    journal, _ = make_journal(count=40)
    alike = Journal(journal.entries, None, None, np.ones((40, 8)))
    assert temporal(alike)["themes"]["reason"] == "all entries are alike"


# -- pieces ----------------------------------------------------------------------------------------------------------


def test_holm_equals_the_definition():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]


@pytest.mark.parametrize("count", range(1, 9))
def test_a_trend_of_few_days_is_never_an_error(count):
    trend = fit(np.arange(count, dtype=float), np.linspace(1, 0, count))
    assert trend.direction == ("falling" if count >= 5 else "no_clear_trend")
    assert fit(np.arange(count, dtype=float), np.zeros(count)).direction == "no_clear_trend"


def test_weekday_and_hour_are_the_writers_own():
    at = datetime(2026, 3, 1, 23, 30, tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    journal = Journal((Entry("a", "x", at),))
    assert (journal.weekdays[0], journal.hours[0]) == (0, 8.5)


def test_gaps_and_words_are_what_they_say():
    journal, _ = make_journal(count=10)
    found = columns(journal, count([entry.text for entry in journal.entries]).words)
    assert np.isnan(found["gap_days"][0])
    gap = journal.entries[4].created_at - journal.entries[3].created_at
    assert found["gap_days"][4] == pytest.approx(gap.total_seconds() / 86400)
    assert found["words"][2] == len(journal.entries[2].text.split())


def test_the_summary_is_the_mean():
    journal, _ = make_journal(count=30)
    summary = temporal(journal)["mood_summary"]
    assert summary["sentiment"]["mean"] == pytest.approx(journal.polarity.mean())
    assert summary["emotions"]["joy"] == pytest.approx(journal.emotions[:, EMOTIONS.index("joy")].mean())
