"""Lexicon, personality, predictions, selection and the replica: numbers computed again, edges, refusals."""

import asyncio
import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from made_journals import FIRST, make_journal
from scipy import stats
from test_chat_crisis import PHRASES

from deployments.errors import Cancelled, DeadlineExceeded, EngineFault, InvalidInput
from deployments.journal import analysis
from deployments.journal.analysis import Question, analyse
from deployments.journal.crisis import OVERLAP, PIECE, crisis_mentions
from deployments.journal.days import daily
from deployments.journal.entries import Entry, Journal, parse_moment, select
from deployments.journal.lexicon import LISTED, count, load_lexicon
from deployments.journal.personality import DIMENSIONS, PATTERNS, profile
from deployments.journal.prediction import RISKS, Wanted, predict, risk_factors
from deployments.journal.replica import JournalAnalysis
from deployments.label_sets import EMOTIONS
from deployments.wire import Call, Piece


def journal_of(texts, emotions=None, polarity=None, every=1.0):
    entries = tuple(Entry(f"e{n}", text, FIRST + timedelta(days=n * every, hours=20)) for n, text in enumerate(texts))
    return Journal(entries, emotions, polarity)


def predicted(journal, **wanted):
    """Read back from JSON, which takes no number of numpy's."""
    found = predict(journal, count([entry.text for entry in journal.entries]), Wanted(**wanted))
    return orjson.loads(orjson.dumps(found))


# -- lexicon ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "risk", "mentioned"),
    [
        ("I feel hopeless today.", "depression", True),
        ("I am not hopeless at all.", "depression", False),
        ("I did not sleep. Hopeless.", "depression", True),
        ("I can’t breathe when I think of it", "anxiety", True),
        ("Panicked twice.", "anxiety", True),
        ("No panic today.", "anxiety", False),
        ("there is no one to talk to", "isolation_risk", True),
        ("I left the house alone", "isolation_risk", False),
    ],
)
def test_mentions(text, risk, mentioned):
    assert bool(count([text]).risks[risk][0]) is mentioned


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("I want to die", True),
        ("I do not want to die", True),
        ("I don't want to live", True),
        ("I feel hopeless but I do not want to die", True),
        ("The plot is to die for", False),
        ("My friend says she wants to kill herself", True),
        ("I cut my arms again", True),
        ("Somebody in our street died by suicide", True),
        ("We watched Suicide Squad", False),
        ("I feel hopeless today", False),
        ("The old shed is falling apart", False),
    ],
)
def test_a_crisis_is_what_the_chats_check_finds_of_suicide_and_self_harm(text, mentioned):
    assert bool(crisis_mentions([text])[0]) is mentioned


def test_labelled_phrases_of_a_crisis_are_mentions_and_others_are_not():
    rows = [(label, crisis_mentions([text])[0] > 0) for _, label, text in PHRASES]
    grave = [found for label, found in rows if label in ("crisis", "other")]
    harmless = [found for label, found in rows if label == "none"]
    assert sum(grave) / len(grave) >= 0.98
    assert sum(harmless) / len(harmless) <= 0.02


@pytest.mark.parametrize("before", [0, 1, PIECE - OVERLAP - 10, PIECE - 10, PIECE, 5 * PIECE + 7, 90_000])
def test_a_crisis_is_found_wherever_it_stands_in_a_long_entry(before):
    text = ("It rained. " * 10_000)[:before] + " . I want to kill myself. " + "It rained. " * 300
    assert crisis_mentions([text, "It rained. " * 3000]).tolist() == [1, 0]


def test_shares_are_words_by_words():
    counts = count(["I think, I wonder: why? We helped a friend!", ""])
    assert counts.words.tolist() == [9, 0]
    assert counts.shares["reflection"][0] == pytest.approx(3 / 9)
    assert counts.shares["kindness"][0] == pytest.approx(1 / 9)
    assert counts.shares["social"][0] == pytest.approx(2 / 9)
    assert counts.exclamations[0] == pytest.approx(1 / 2)
    assert all(values[1] == 0 for values in counts.shares.values())


def test_every_list_has_words_and_no_phrase_can_never_match():
    lexicon = load_lexicon()
    assert all(lexicon.words.values())
    assert {risk for phrases in lexicon.phrases.values() for risk, _ in phrases} == {*LISTED}
    for phrases in lexicon.phrases.values():
        for risk, phrase in phrases:
            assert count([" ".join(phrase)]).risks[risk][0] == 1, phrase


# -- personality -----------------------------------------------------------------------------------------------------


def test_dimensions_are_the_weighted_means_of_their_traits():
    journal, _ = make_journal(count=40)
    counts = count([entry.text for entry in journal.entries])
    found = profile(journal, counts)
    assert set(found["dimensions"]) == set(DIMENSIONS)
    for name, value in found["dimensions"].items():
        traits = found["traits"][name]
        assert value == pytest.approx(np.average([t["score"] for t in traits], weights=[t["weight"] for t in traits]))
        lower, upper = found["intervals"][name]
        assert 0 <= lower <= value + 1e-9
        assert value - 1e-9 <= upper <= 1
        for trait in traits:
            share = (trait["mean"] - trait["zero_at"]) / (trait["one_at"] - trait["zero_at"])
            assert trait["score"] == pytest.approx(np.clip(share, 0, 1))
    joy = next(t for t in found["traits"]["extraversion"] if t["indicator"] == "joy")
    assert joy["mean"] == pytest.approx(journal.emotions[:, EMOTIONS.index("joy")].mean())
    clear = np.mean([abs(2 * (value - 0.5)) for value in found["dimensions"].values()])
    assert found["confidence_score"] == pytest.approx(0.7 * 40 / 50 + 0.3 * clear)
    assert sum(found["emotional_profile"].values()) == pytest.approx(100)
    assert set(found["behavioral_patterns"]) == set(PATTERNS)
    assert found["communication_style"] == max(found["style_scores"], key=found["style_scores"].get)


def test_a_profile_says_what_it_can_without_models():
    journal = journal_of(["We met friends and talked together."] * 12)
    found = profile(journal, count([entry.text for entry in journal.entries]), detailed=False)
    assert found["emotional_profile"] is None
    assert found["dimensions"]["extraversion"] == pytest.approx(1.0)
    assert found["strengths"] == ["Writes much about others and with joy."]
    assert "traits" not in found
    assert found["behavioral_patterns"]["routine_oriented"] == pytest.approx(1.0)


def test_the_usual_hour_is_one_around_midnight_too():
    late = [Entry(str(n), "x", FIRST + timedelta(days=n, hours=hour)) for n, hour in enumerate((23, 25, 23, 25))]
    journal = Journal(tuple(late))
    found = profile(journal, count(["x"] * 4))
    steady = next(t for t in found["traits"]["conscientiousness"] if t["indicator"] == "steady")
    assert steady["mean"] == pytest.approx(11 / 12)


# -- predictions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", range(1, 10))
def test_few_entries_have_no_clear_trend_and_no_error(entries):
    journal, _ = make_journal(count=entries)
    found = predicted(journal)
    assert found["predicted_mood_trends"]["trend_direction"] in ("no_clear_trend", "rising", "falling")
    if entries < 5:
        assert found["predicted_mood_trends"]["sentiment_trend"] is None


def test_a_falling_trend_goes_on_within_its_interval():
    journal, _ = make_journal(trend=-0.3)
    found = predicted(journal, horizon=3)
    mood = found["predicted_mood_trends"]
    days, means = daily(journal, journal.polarity)
    slope = stats.theilslopes(means, days, 0.95, method="separate")
    ahead = days[-1] + 3 - np.median(days)
    assert mood["trend_direction"] == "falling"
    assert mood["forecast"]["value"] == pytest.approx(np.median(means) + slope.slope * ahead)
    lower, upper = mood["forecast"]["interval"]
    rest = means - (np.median(means) + slope.slope * (days - np.median(days)))
    assert lower == pytest.approx(np.median(means) + slope.low_slope * ahead + np.quantile(rest, 0.025))
    assert upper == pytest.approx(np.median(means) + slope.high_slope * ahead + np.quantile(rest, 0.975))
    assert found["confidence_intervals"]["slope_per_day"] == pytest.approx([slope.low_slope, slope.high_slope])
    assert "trend_direction" in [each["because"] for each in found["recommendation_priority"]]
    assert mood["confidence"] == 1.0


def test_without_a_trend_the_forecast_is_what_was_lately():
    journal, _ = make_journal(count=60, seed=4)
    mood = predicted(journal)["predicted_mood_trends"]
    _, means = daily(journal, journal.polarity)
    assert mood["trend_direction"] == "no_clear_trend"
    assert mood["forecast"]["value"] == pytest.approx(np.median(means[-(len(means) // 3) :]))
    shares = journal.emotions[-20:].mean(axis=0)
    assert mood["likely_emotions"][0] == {
        "emotion": EMOTIONS[int(shares.argmax())], "share": pytest.approx(shares.max())
    }  # fmt: skip


def test_risks_are_computed_from_mentions_and_feelings():
    emotions = np.zeros((10, 7))
    emotions[:, EMOTIONS.index("sadness")] = 0.35
    texts = ["I feel hopeless."] * 2 + ["We met friends and talked together."] * 8
    journal = journal_of(texts, emotions)
    by_type = {risk["type"]: risk for risk in risk_factors(journal, count(texts))}
    assert list(by_type) == list(RISKS)
    low = by_type["depression"]
    assert (low["mentions"], low["entries"]) == (2, ["e0", "e1"])
    assert low["risk_score"] == pytest.approx(0.7 * (2 / 10 / 0.3) + 0.3 * 0.5)
    assert low["severity"] == "high"
    assert by_type["anxiety"] == {
        "type": "anxiety", "mentions": 0, "risk_score": 0.0, "severity": "low",
        "parts": {"mentions": 0.0, "fear": 0.0}, "entries": [],
    }  # fmt: skip


def test_one_mention_of_a_crisis_is_high_and_comes_first():
    texts = ["I was anxious."] * 5 + ["I wish I was dead."] + ["Fine."] * 94
    found = predicted(journal_of(texts))
    crisis = found["risk_factors"][0]
    assert (crisis["type"], crisis["mentions"], crisis["severity"], crisis["entries"]) == ("crisis", 1, "high", ["e5"])
    assert found["recommendation_priority"][0]["because"] == "crisis"


def test_sad_entries_alone_are_no_risk():
    emotions = np.zeros((10, 7))
    emotions[:, EMOTIONS.index("sadness")] = 1.0
    journal = journal_of(["We met friends."] * 10, emotions)
    assert {risk["severity"] for risk in predicted(journal)["risk_factors"]} == {"low"}


def test_opportunities_are_times_that_are_better_and_surely_so():
    journal, _ = make_journal(evening=0.6)
    (window,) = predicted(journal)["opportunity_windows"]
    assert window["time_of_day"] == "evening"
    assert window["lower"] > 0
    noise, _ = make_journal(seed=9)
    assert predicted(noise)["opportunity_windows"] == []
    assert predicted(journal, opportunities=False, risks=False)["opportunity_windows"] == []


def test_behaviours_are_counted_by_whole_weeks():
    journal = journal_of(["Fine."] * 84, every=0.5)
    found = predicted(journal)["behavioral_predictions"]["entries_a_week"]
    # Six weeks less half a day: the first one is not whole.
    assert found == {"current": 14.0, "predicted": 14.0, "trend": "no_clear_trend", "confidence": 5 / 12}
    assert predicted(journal_of(["Fine."] * 12))["behavioral_predictions"] == {}


def test_growing_behaviour_is_foretold_by_its_line():
    entries = []
    for week in range(10):
        at = [FIRST + timedelta(days=7 * week, hours=hour) for hour in range(week + 1)]
        entries += [Entry(f"{week}-{place}", "x", moment) for place, moment in enumerate(at)]
    entries.append(Entry("last", "x", FIRST + timedelta(days=70)))
    found = predicted(Journal(tuple(entries)))["behavioral_predictions"]["entries_a_week"]
    assert found["trend"] == "rising"
    assert found["predicted"] > found["current"]


def test_weeks_of_long_ago_do_not_count():
    """Every pair of weeks has a slope: those of three centuries once took five gigabytes and half a minute."""
    entries = []
    for week in range(104):
        at = [FIRST + timedelta(days=7 * week, hours=hour) for hour in range(1 + week // 13)]
        entries += [Entry(f"{week}-{place}", "x", moment) for place, moment in enumerate(at)]
    entries.append(Entry("last", "x", FIRST + timedelta(days=728)))
    first = Entry("first", "x", datetime(1900, 1, 1, tzinfo=UTC))
    found = predicted(Journal((first, *entries)))["behavioral_predictions"]
    assert found["entries_a_week"]["trend"] == "rising"
    assert found == predicted(Journal(tuple(entries)))["behavioral_predictions"]


# -- entries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timeframe", "left"), [("daily", 1), ("weekly", 7), ("monthly", 30), ("all_time", 40)])
def test_a_timeframe_ends_with_the_newest_entry(timeframe, left):
    entries = [Entry(str(n), "x", FIRST + timedelta(days=n)) for n in range(40)]
    assert len(select(entries, timeframe, 500)) == left
    assert len(select(entries, timeframe, 5)) == min(5, left)
    assert select([], timeframe, 5) == []


@pytest.mark.parametrize(
    "wrong", ["2026-13-01T00:00:00Z", "2026-01-01", 5, None, "0001-01-01T00:00", "2026-01-01T25:00"]
)
def test_moments_that_are_none(wrong):
    with pytest.raises(InvalidInput) as refused:
        parse_moment(wrong, "entries[0].created_at")
    assert refused.value.param == "entries[0].created_at"


def test_a_moment_without_an_offset_is_utc():
    assert parse_moment("2026-01-01T10:00", "x") == datetime(2026, 1, 1, 10, tzinfo=UTC)
    entry = Entry("a", "x", parse_moment("2026-01-01T10:00:00+02:00", "x"), 3.0)
    assert Entry.from_json(entry.to_json()) == entry


# -- the replica -----------------------------------------------------------------------------------------------------


async def replica():
    found = JournalAnalysis.__new__(JournalAnalysis)
    await found.__init__()
    return found


async def test_the_replica_answers_what_the_analysis_says():
    journal, _ = make_journal(count=20)
    question = pickle.loads(pickle.dumps(Question(journal, ["personality"])))
    served = await replica()
    reply = await served.answer(Call("interactive", [Piece("r", [question], {}, 30.0)]))
    found, wanted = reply.pieces[0].values[0].parts["personality"], analyse(question).parts["personality"]
    found["last_updated"] = wanted["last_updated"]
    assert found == wanted
    assert (reply.pieces[0].costs, reply.backlog_s) == ([20], 0.0)
    assert reply.rate > 0
    await served.check_health()


async def test_late_left_and_wrong_questions_are_refused_and_do_not_fail_the_others(monkeypatch):
    journal, _ = make_journal(count=20)
    good = Question(journal, ["personality"])
    served = await replica()
    await served.cancel(["left"])
    pieces = [
        Piece("late", [good], {}, -1.0),
        Piece("left", [good], {}, 30.0),
        Piece("wrong", ["text", good], {}, 30.0),
    ]
    late, left, wrong = (await served.answer(Call("interactive", pieces))).pieces
    assert isinstance(late.errors[0], DeadlineExceeded)
    assert isinstance(left.errors[0], Cancelled)
    assert isinstance(wrong.errors[0], InvalidInput)
    assert wrong.values[1].parts["personality"]["entries_analyzed"] == 20

    def broken(question):
        raise ValueError("XmarkedTextX")

    monkeypatch.setattr("deployments.journal.replica.analyse", broken)
    reply = await served.answer(Call("interactive", [Piece("r", [good], {}, 30.0)]))
    assert isinstance(reply.pieces[0].errors[0], EngineFault)
    assert "XmarkedTextX" not in str(reply.pieces[0].errors[0])


async def test_the_loop_answers_while_the_replica_computes(monkeypatch):
    served = await replica()
    journal, _ = make_journal(count=20)
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def waits(question):
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(20)
        return analysis.Found({}, {})

    monkeypatch.setattr("deployments.journal.replica.analyse", waits)
    asked = asyncio.create_task(served.answer(Call("interactive", [Piece("r", [Question(journal, [])], {}, 30.0)])))
    await asyncio.sleep(0.05)
    assert not asked.done()
    release.set()
    assert (await asked).pieces[0].errors == {}
