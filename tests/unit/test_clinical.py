"""Clinical reports: directions whatever the order, ranges, impossible values, formulas, words that are read."""

import itertools
import math
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from deployments.chat.reply_check import Withheld
from deployments.clinical import export, vitals
from deployments.clinical.facts import facts_of
from deployments.clinical.medication import Medication, notes_on
from deployments.clinical.narrative import lead, messages_for, model_words, template_words
from deployments.clinical.report import Case, analyse
from deployments.clinical.report_body import body
from deployments.clinical.scores import LEVELS, MODERATE, POINTS
from deployments.clinical.summary_check import checked
from deployments.clinical.vitals import Measurement, measured, reference
from deployments.errors import InvalidInput

START = datetime(2026, 9, 1, 8, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)


def series(parameter, values, step_h=24):
    return [Measurement(parameter, float(v), START + timedelta(hours=step_h * i)) for i, v in enumerate(values)]


def case(measurements, medications=(), **more):
    known = {"patient_id": "p1", "name": "Ada", "age": 50.0, "sex": "female", "since": None, "until": END, **more}
    return Case(measurements=measurements, medications=medications, **known)


def as_json(report):
    return orjson.loads(orjson.dumps(report))


def vital(analysis, name):
    (found,) = [each for each in analysis.vitals if each.name == name]
    return found


@pytest.mark.parametrize("order", ["oldest first", "newest first", "shuffled"])
@pytest.mark.parametrize(("slope", "direction"), [(1.5, "increasing"), (-1.5, "decreasing")])
def test_the_direction_is_that_of_time_whatever_the_order(order, slope, direction):
    given = series("systolic_bp", [125 + slope * i + (-1) ** i for i in range(12)])
    if order == "newest first":
        given.reverse()
    elif order == "shuffled":
        random.Random(7).shuffle(given)
    found = vital(analyse(case(given)), "systolic_bp")
    assert found.trend.direction == direction
    assert found.trend.slope == pytest.approx(slope, abs=0.2)
    assert found.trend.interval[0] <= slope <= found.trend.interval[1]
    assert found.series.current == 125 + slope * 11 - 1
    assert found.series.times[0] == START


def test_a_flat_series_noise_and_too_few_values_have_no_direction():
    assert vital(analyse(case(series("heart_rate", [70] * 8))), "heart_rate").trend.direction == "no_clear_trend"
    few = vital(analyse(case(series("heart_rate", [60, 70, 80, 90]))), "heart_rate").trend
    assert (few.direction, few.slope, few.p_value) == ("insufficient_data", None, None)
    same_time = [Measurement("heart_rate", value, START) for value in (60, 70, 80, 90, 95)]
    assert vital(analyse(case(same_time)), "heart_rate").trend.direction == "insufficient_data"


def test_noise_is_called_a_trend_rarely():
    called, names = 0, ("heart_rate", "respiratory_rate", "systolic_bp", "temperature")
    for seed in range(60):
        draw = random.Random(seed)
        given = [
            m
            for name in names
            for m in series(name, [reference(name, 50, "male").low + draw.gauss(0, 1) for _ in range(15)])
        ]
        called += any(each.trend.significant for each in analyse(case(given)).vitals)
    assert called / 60 <= 0.1, "reports with any false trend; the adjusted level is 0.05"


def test_figures_can_be_recomputed():
    from scipy.stats import kendalltau, theilslopes

    values = [118, 121, 119, 125, 124, 129, 131, 130]
    found = vital(analyse(case(series("systolic_bp", values))), "systolic_bp")
    days = list(range(8))
    assert found.trend.slope == pytest.approx(theilslopes(values, days).slope)
    assert found.trend.p_value == pytest.approx(kendalltau(days, values).pvalue)
    assert found.series.average == pytest.approx(sum(values) / 8)


# -- ranges and values ------------------------------------------------------------------------------------------------------


def test_every_row_of_the_table_has_a_source_and_sound_bounds():
    for row in vitals.rows():
        assert row["parameter"] in vitals.parameters()
        assert all(name.strip() in vitals.sources() for name in row["source"].split(","))
        assert row["from"] < row["to"]
        low, high = vitals.parameters()[row["parameter"]].possible
        for bound in (row["low"], row["high"], *row.get("critical", ())):
            assert bound is None or low <= bound <= high
        if row["low"] is not None:
            assert row["low"] < row["high"]
        least, most = row.get("critical", (None, None))
        assert least is None or least < row["low"]
        assert most is None or most > row["high"]


def test_every_judged_vital_sign_has_critical_bounds_at_every_age_of_its_rows():
    open_ended = {"bmi": (None, None), "waist": (None, None), "oxygen_saturation": (91, None)}
    for row in vitals.rows():
        bounds = tuple(row.get("critical", (None, None)))
        if row["parameter"] in open_ended:
            assert bounds == open_ended[row["parameter"]]
        else:
            assert None not in bounds, row


def test_what_holds_at_every_age_holds_in_every_row():
    for general in vitals.any_age():
        assert all(name.strip() in vitals.sources() for name in general["source"].split(","))
        least, most = general["critical"]
        for row in (row for row in vitals.rows() if row["parameter"] == general["parameter"]):
            assert least is None or least <= row["critical"][0]
            # A young infant's fever is critical sooner than anybody else's.
            assert most is None or most >= row["critical"][1]
            for end in ("low", "high"):
                assert general[end] in (None, row[end])


def test_ages_do_not_overlap():
    for name in vitals.parameters():
        for sex in ("female", "male"):
            spans = sorted(
                (r["from"], r["to"]) for r in vitals.rows() if r["parameter"] == name and r["sex"] in ("any", sex)
            )
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_ranges_follow_age_and_sex():
    assert reference("heart_rate", 0.5, "male").low == 100
    assert reference("heart_rate", 40, "male").low == 60
    assert reference("hemoglobin", 40, "male").low == 13.0
    assert reference("hemoglobin", 40, "female").low == 12.0
    both = reference("hemoglobin", 40, "unknown")
    assert (both.low, both.high, both.note) == (12.0, 17.5, "both sexes' ranges together")
    assert reference("heart_rate", None, "male").low is None
    assert reference("weight", 40, "male") is None
    assert reference("bmi", 10, "male") is None


@pytest.mark.parametrize(
    ("parameter", "value", "status"),
    [
        ("oxygen_saturation", 97, "normal"),
        ("oxygen_saturation", 93, "low"),
        ("oxygen_saturation", 91, "critical_low"),
        ("systolic_bp", 129, "normal"),
        ("systolic_bp", 130, "high"),
        ("systolic_bp", 180, "critical_high"),
        ("systolic_bp", 90, "critical_low"),
        ("temperature", 39.1, "high"),
        ("temperature", 40.0, "critical_high"),
        ("fasting_glucose", 900, "critical_high"),
        ("glucose", 40, "critical_low"),
        ("hemoglobin", 3, "critical_low"),
        ("hemoglobin", 21, "critical_high"),
        ("diastolic_bp", 20, "critical_low"),
        ("systolic_bp", 178, "high"),
        ("weight", 70, None),
    ],
)
def test_states_at_the_bounds(parameter, value, status):
    usual = reference(parameter, 50, "male")
    assert (usual.status(value) if usual else None) == status


@pytest.mark.parametrize(
    ("parameter", "value", "unit", "expected"),
    [
        ("temperature", 98.6, "°F", 37.0),
        ("glucose", 5.5, "mmol/L", 99.0858),
        ("weight", 150, "lb", 68.0389),
        ("height", 1.8, "m", 180),
        ("hemoglobin", 140, "g/L", 14),
        ("systolic_bp", 16, "kPa", 120.0099),
        ("heart_rate", 61, None, 61),
    ],
)
def test_units(parameter, value, unit, expected):
    assert measured(parameter, value, unit, START, "vitals[0]").value == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("parameter", "value", "unit", "param"),
    [
        ("oxygen_saturation", 100.5, "%", "value"),
        ("oxygen_saturation", 2, "%", "value"),
        ("temperature", 98.6, "°C", "value"),
        ("temperature", 37, "°F", "value"),
        ("heart_rate", 0, None, "value"),
        ("heart_rate", 400, None, "value"),
        ("systolic_bp", -120, None, "value"),
        ("height", 180, "m", "value"),
        ("heart_rate", 60, "kg", "unit"),
    ],
)
def test_impossible_values_are_refused_and_named(parameter, value, unit, param):
    with pytest.raises(InvalidInput) as refused:
        measured(parameter, value, unit, START, "vitals[3]")
    assert refused.value.param == f"vitals[3].{param}"


# -- findings, risk, scores -------------------------------------------------------------------------------------------------


def test_anomalies_by_range_and_by_the_patients_own_values():
    given = series("heart_rate", [70, 71, 69, 70, 72, 71, 70, 88, 130, 140])
    found = {each.value: each.kind for each in vital(analyse(case(given)), "heart_rate").anomalies}
    assert found == {88.0: "outlier", 130.0: "out_of_range", 140.0: "critical"}


def test_a_diastolic_value_above_the_systolic_one_is_told():
    given = [Measurement("systolic_bp", 120, START), Measurement("diastolic_bp", 125, START)]
    analysis = analyse(case(given))
    assert [each.kind for each in analysis.pairs] == ["implausible_pair"]
    assert any(each.kind == "implausible" for each in analysis.findings)


def test_the_body_mass_index_is_computed_and_judged():
    given = [Measurement("height", 180, START), *series("weight", [100, 101], 48)]
    found = vital(analyse(case(given)), "bmi")
    assert found.series.current == pytest.approx(101 / 1.8**2, abs=0.01)
    assert found.status == "high"


def test_risk_is_the_sum_of_its_factors_and_each_recommendation_has_its_finding():
    given = [*series("systolic_bp", [150 + 3 * i for i in range(8)]), *series("oxygen_saturation", [97] * 5)]
    medications = [Medication(f"m{i}", "1", "daily", adherence=0.5 if i == 0 else None) for i in range(5)]
    analysis = analyse(case(given, medications))
    kinds = [each.kind for each in analysis.findings]
    assert set(kinds) == {"out_of_range_now", "adverse_trend", "adherence", "many"}
    assert analysis.risk.score == sum(POINTS[kind] for kind in kinds)
    assert analysis.risk.level == "moderate"
    report = body(analysis, "ANALYSIS-2026-0", END, template_words(analysis))
    ids = {each["id"] for each in report["findings"]}
    assert {each["finding"] for each in report["sections"]["recommendations"]} == ids


def test_a_critical_value_now_makes_the_risk_critical_and_urgent():
    analysis = analyse(case(series("oxygen_saturation", [97, 96, 88])))
    assert analysis.risk.level == "critical"
    assert analysis.findings[0].priority == "urgent"


def test_a_critical_value_before_the_newest_is_a_finding_with_its_time_and_never_a_low_risk():
    analysis = analyse(case(series("oxygen_saturation", [97, 70, 71, 97])))
    (found,) = analysis.findings
    assert (found.kind, found.priority) == ("critical_before", "high")
    assert "2 earlier value(s)" in found.text
    assert "71 % at 2026-09-03T08:00" in found.text
    assert (analysis.risk.level, analysis.risk.score) == ("moderate", POINTS["critical_before"])
    assert template_words(analysis)["executive_summary"].startswith(f"Needs attention: {found.text}")
    (advice,) = body(analysis, "x", END, template_words(analysis))["sections"]["recommendations"]
    assert advice["finding"] == found.id
    now = analyse(case(series("oxygen_saturation", [97, 70, 71])))
    assert [each.kind for each in now.findings] == ["critical_now"]


@pytest.mark.parametrize(
    ("parameter", "value", "age", "level"),
    [
        ("fasting_glucose", 900, 50, "critical"),
        ("hemoglobin", 3.0, 50, "critical"),
        ("heart_rate", 20, 5, "critical"),
        ("diastolic_bp", 20, 50, "critical"),
        ("systolic_bp", 178, 50, "moderate"),
        ("heart_rate", 101, 50, "moderate"),
        ("bmi", 12, 50, "moderate"),
        ("waist", 140, 50, "moderate"),
        ("temperature", 39.1, 2, "moderate"),
        ("temperature", 38.0, 0.1, "critical"),
        ("temperature", 37.0, 2, "low"),
    ],
)
def test_whoever_is_outside_a_range_is_never_at_low_risk(parameter, value, age, level):
    analysis = analyse(case([Measurement(parameter, value, START)], age=age))
    assert analysis.risk.level == level
    assert POINTS["out_of_range_now"] >= MODERATE
    assert dict((level, least) for least, level in LEVELS)["moderate"] == MODERATE


# -- what is not judged -----------------------------------------------------------------------------------------------------


def summary_of(analysis):
    return template_words(analysis)["executive_summary"]


def test_without_an_age_what_is_critical_at_every_age_is_told():
    analysis = analyse(case([*series("heart_rate", [300]), *series("oxygen_saturation", [60])], age=None))
    assert [each.kind for each in analysis.findings] == ["critical_now", "critical_now"]
    assert analysis.risk.level == "critical"
    assert summary_of(analysis).startswith("Needs attention: Heart rate: the newest value, 300 bpm")


def test_without_an_age_the_rest_is_not_judged_and_nobody_is_reassured():
    given = [*series("heart_rate", [140]), *series("respiratory_rate", [16])]
    analysis = analyse(case(given, age=None))
    assert (analysis.risk.level, analysis.risk.score, analysis.score) == (None, None, None)
    assert analysis.risk.reason == "None of the 2 vital signs could be judged."
    assert [each.kind for each in analysis.findings] == ["no_age", "no_age"]
    told = summary_of(analysis)
    assert "2 of 2 vital signs could not be judged: Heart rate, Respiratory rate." in told
    assert "age is not given" in told
    assert "The risk was not assessed" in told
    assert "outside its reference range" not in told
    report = body(analysis, "x", END, template_words(analysis))
    assert report["patient"]["risk_level"] is None
    assert report["metadata"]["vital_signs_not_judged"] == ["heart_rate", "respiratory_rate"]
    assert report["sections"]["risk_assessment"]["reason"] == analysis.risk.reason


def test_ranges_that_are_the_same_at_every_age_need_none():
    analysis = analyse(case([*series("temperature", [36.8]), *series("oxygen_saturation", [98])], age=None))
    assert (analysis.risk.level, analysis.findings) == ("low", [])
    assert "No newest value is outside its reference range." in summary_of(analysis)
    assert analyse(case(series("temperature", [38.5]), age=None)).risk.level == "moderate"


def test_where_the_table_has_no_row_for_an_age_what_holds_at_every_age_is_told():
    newborn = analyse(case(series("oxygen_saturation", [70]), age=0.01))
    assert newborn.risk.level == "critical"
    assert [each.kind for each in analyse(case(series("bmi", [30]), age=10)).findings] == ["no_reference"]


def test_one_unjudged_vital_sign_takes_the_comfort_away_but_not_the_level():
    analysis = analyse(case([*series("heart_rate", [70]), *series("weight", [70])]))
    (found,) = analysis.findings
    assert (found.kind, "no reference range" in found.text) == ("no_range", True)
    assert (
        "age"
        not in body(analysis, "x", END, template_words(analysis))["sections"]["recommendations"][0]["recommendation"]
    )
    told = summary_of(analysis)
    assert "1 of 2 newest values are inside their reference range." in told
    assert "1 of 2 vital signs could not be judged: Weight." in told
    assert "No newest value" not in told
    assert analysis.risk.level == "low"


@pytest.mark.parametrize(
    ("given", "more", "reason"),
    [
        ([], {}, "No vital signs were given for this period."),
        ([], {"medications": [Medication("A", "1", "daily")]}, "No vital signs were given for this period."),
        (series("heart_rate", [140]), {"with_vitals": False}, "Vital signs were left out of this report."),
        (series("heart_rate", [140]), {"since": END}, "No vital signs were given for this period."),
    ],
)
def test_where_nothing_was_looked_at_there_is_no_risk_level(given, more, reason):
    analysis = analyse(case(given, **more))
    assert (analysis.risk.level, analysis.risk.score, analysis.risk.reason) == (None, None, reason)
    told = summary_of(analysis)
    assert "The risk is" not in told
    assert "outside its reference range" not in told
    report = body(analysis, "x", END, template_words(analysis))
    assert report["metadata"]["data_points_analyzed"] == 0
    assert report["metadata"]["data_points_outside_range"] == (1 if "since" in more else 0)
    assert "not assessed" in export.html({**as_json(report), "notice": "n"})


def test_notes_alone_may_raise_the_risk_but_not_lower_it():
    forgotten = [Medication(f"m{i}", "1", "daily", adherence=0.2) for i in range(2)]
    assert analyse(case([], forgotten)).risk.level == "moderate"
    assert analyse(case([], forgotten[:1])).risk.level is None


def test_the_health_score_and_the_confidence_are_their_formulas():
    analysis = analyse(case(series("heart_rate", [70, 80, 90, 110])))
    assert analysis.score == pytest.approx(50 * 0.75 + 50 * 0.5)
    newest = START + timedelta(days=3)
    recency = math.exp(-((END - newest).total_seconds() / 86_400) / 30)
    assert analysis.confidence == pytest.approx(0.4 * 0.4 + 0.4 * 0.2 + 0.2 * recency, abs=1e-3)
    assert analyse(case(series("weight", [70]))).score is None
    assert analyse(case([])).confidence == 0.0


def test_a_trend_is_adverse_only_away_from_the_middle():
    rising_high = vital(analyse(case(series("systolic_bp", [125 + i for i in range(10)]))), "systolic_bp")
    rising_low = vital(analyse(case(series("systolic_bp", [92 + i for i in range(10)]))), "systolic_bp")
    assert (rising_high.adverse, rising_low.adverse) == (True, False)


@pytest.mark.parametrize(
    ("parameter", "values", "adverse"),
    [
        ("oxygen_saturation", [97, 97.5, 98, 98.5, 99, 99.5, 100], False),
        ("oxygen_saturation", [99, 98.6, 98, 97.6, 97.2, 96.8, 96.2], True),
        ("heart_rate", [78, 79, 81, 82, 83, 84, 86], False),
        ("heart_rate", [86, 88, 90, 92, 94, 95, 97], True),
        ("heart_rate", [74, 72, 70, 68, 66, 64, 63], True),
        ("heart_rate", [130, 128, 125, 122, 120, 118, 115], False),
        ("bmi", [24.8, 24, 23, 22.5, 22, 21, 20], False),
        ("waist", [80, 81, 82, 83, 84, 85, 86], True),
        ("waist", [90, 89, 88, 87, 86, 85, 84], False),
    ],
)
def test_a_trend_is_adverse_only_towards_the_worse_side_and_near_a_bound(parameter, values, adverse):
    analysis = analyse(case(series(parameter, values)))
    found = vital(analysis, parameter)
    assert found.trend.significant
    assert found.adverse is adverse
    assert ("adverse_trend" in [each.kind for each in analysis.findings]) is adverse


def resembling(rho, length, seed):
    """Noise of which each value resembles the one before."""
    draw = random.Random(seed)
    values = [draw.gauss(0, 1)]
    while len(values) < length:
        values.append(rho * values[-1] + math.sqrt(1 - rho * rho) * draw.gauss(0, 1))
    return [75 + 5 * value for value in values]


@pytest.mark.parametrize(("rho", "most"), [(0.0, 0.1), (0.5, 0.15), (0.8, 0.25)])
def test_noise_that_resembles_its_past_is_called_a_trend_seldom(rho, most):
    called = sum(
        vital(analyse(case(series("heart_rate", resembling(rho, 30, seed), 8))), "heart_rate").trend.significant
        for seed in range(150)
    )
    assert called / 150 <= most


@pytest.mark.parametrize("length", [5, 9, 15, 40])
def test_values_in_perfect_order_are_a_trend_also_along_a_bend(length):
    bent = [80 + 40 * math.sqrt(index / length) for index in range(length)]
    assert vital(analyse(case(series("heart_rate", bent))), "heart_rate").trend.direction == "increasing"


def test_the_period_cuts_and_says_so():
    given = series("heart_rate", [70] * 10)
    analysis = analyse(case(given, since=START + timedelta(days=5)))
    report = body(analysis, "x", END, template_words(analysis))
    assert report["metadata"]["data_points_analyzed"] == 5
    assert report["metadata"]["data_points_outside_range"] == 5


def test_halves_are_compared_on_request():
    given = series("heart_rate", [60, 61, 62, 61, 80, 81, 82, 81])
    assert vital(analyse(case(given)), "heart_rate").halves is None
    few = analyse(case(given[:7], compared=True))
    for analysis, reason in ((few, "Fewer than 8 values."), (analyse(case(given)), None)):
        (trend,) = body(analysis, "x", END, template_words(analysis))["sections"]["vitals_analysis"]["trends"]
        assert (trend["comparison"], trend["comparison_reason"]) == (None, reason)
    told = vital(analyse(case(given, compared=True)), "heart_rate").halves
    assert (told["earlier_average"], told["later_average"]) == (61.0, 81.0)
    assert told["p_value"] < 0.05


def test_medication_notes_come_from_the_list_alone():
    day = date(2026, 11, 1)
    given = [
        Medication("Aspirin ", "100 mg", "daily"),
        Medication("aspirin", "100 mg", "daily", started=date(2026, 10, 20)),
        Medication("Other", None, "daily", stopped=date(2026, 10, 25)),
        Medication("Third", None, None, adherence=0.5),
    ]
    kinds = {note.kind: note.medications for note in notes_on(given, day)}
    assert kinds == {
        "duplicate": (0, 1), "recent_start": (1,), "recent_stop": (2,), "incomplete": (3,), "adherence": (3,),
    }  # fmt: skip
    assert not any("spirin" in note.text for note in notes_on(given, day))


# -- words ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def analysis():
    given = [*series("systolic_bp", [150 + 3 * i for i in range(8)]), *series("heart_rate", [70, 71, 72])]
    return analyse(case(given, [Medication("Secretol", "5 mg", "daily")]))


def test_a_model_is_told_derived_facts_only(analysis):
    sent = str(messages_for(analysis))
    for secret in ("Ada", "p1", "Secretol", "5 mg", "2026-"):
        assert secret not in sent
    assert "171" in sent
    assert messages_for(analysis) != messages_for(analysis), "the fence is new each time"
    assert facts_of(analysis)["medications_active"] == 1


GOOD = "The newest systolic blood pressure, 171 mmHg, is above its reference range and increasing by 3 mmHg a day."


def test_a_sound_summary_passes(analysis):
    assert checked(GOOD, analysis) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        GOOD + " It rose to 199.",
        GOOD + " The patient has hypertension.",
        GOOD + " Start with 5 mg of a drug.",
        GOOD + " See www.example.com.",
        GOOD + " It doubled.",
        GOOD + " <b>Now</b>.",
        GOOD + " As an AI I must say so.",
        "Short.",
        GOOD + " This is due to stress.",
        GOOD + " He should rest.",
    ],
)
def test_a_summary_beyond_the_facts_is_withheld(analysis, text):
    with pytest.raises(Withheld):
        checked(text, analysis)


REVIEWED = "Heart rate needs no attention and is decreasing; everything is stable and nothing is critical today."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (REVIEWED, "reassures"),
        ("The heart rate of 142 bpm is decreasing by 6 bpm a day over the whole period.", "contradicts_a_trend"),
        (
            "The newest heart rate, 142 bpm, is at a critical level. It has dropped over the period.",
            "contradicts_a_trend",
        ),
        ("The heart rate of 142 bpm is below its reference range and increasing by 6 a day.", "contradicts_a_range"),
        ("The heart rate of 142 bpm lies within the reference range and is increasing by 6.", "contradicts_a_range"),
        ("The heart rate of 142 bpm is increasing by 6 bpm a day. That is fine for this patient.", "reassures"),
        ("The heart rate of 142 bpm is increasing. There is nothing that needs anybody to look.", "reassures"),
        ("The heart rate of 142 bpm is increasing by 6 a day. The temperature is increasing too.", "not_measured"),
        ("The heart rate of 142 bpm is steady although it is above its reference range.", "reassures"),
    ],
)
def test_a_summary_that_contradicts_the_data_is_withheld(text, reason):
    analysis = analyse(case(series("heart_rate", [100 + 6 * i for i in range(8)])))
    with pytest.raises(Withheld) as withheld:
        checked(text, analysis)
    assert withheld.value.reason == reason


def test_comfort_is_for_those_of_whom_everything_was_judged_and_is_in_order():
    text = "The heart rate is within its reference range and shows no clear trend; its movement is stable."
    calm = series("heart_rate", [70, 72, 71, 69, 70])
    assert checked(text, analyse(case(calm))) == text
    for analysis in (analyse(case([*calm, *series("weight", [80])])), analyse(case(calm, age=None))):
        with pytest.raises(Withheld):
            checked(text, analysis)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The newest heart rate, 86 bpm, is not increasing over the period of the report.", "denied"),
        ("The newest heart rate, 86 bpm, isn't within its reference range over the period.", "denied"),
        ("The newest heart rate of 86 bpm shows no clear trend over the period of the report.", "contradicts_a_trend"),
        ("The newest heart rate of 86 bpm is stable over the whole period of the report.", "contradicts_a_trend"),
    ],
)
def test_a_quiet_trend_may_not_be_denied_either(text, reason):
    rising = analyse(case(series("heart_rate", [78, 79, 81, 82, 83, 84, 86])))
    assert rising.findings == []
    with pytest.raises(Withheld) as withheld:
        checked(text, rising)
    assert withheld.value.reason == reason


def test_several_vital_signs_are_read_clause_by_clause():
    given = [
        *series("systolic_bp", [150 + 3 * i for i in range(8)]),
        *series("heart_rate", [100 - 3 * i for i in range(8)]),
    ]
    analysis = analyse(case(given))
    sound = (
        "The systolic blood pressure is increasing by 3 mmHg a day, while the heart rate is decreasing by 3 bpm a day."
    )
    assert checked(sound, analysis) == sound
    with pytest.raises(Withheld):
        checked(sound.replace("increasing", "x").replace("decreasing", "increasing"), analysis)


def test_the_template_speaks_first_and_the_model_adds(analysis):
    words = model_words(GOOD, "some-model", analysis)
    assert words["executive_summary"] == f"{lead(analysis)} {GOOD}"
    assert words["executive_summary"].startswith("Needs attention: Systolic blood pressure")
    report = body(analysis, "x", END, words)
    assert (report["generated_by"], report["metadata"]["model"]) == ("llm", "some-model")
    assert body(analysis, "x", END, template_words(analysis))["metadata"]["model"] is None


def test_the_page_escapes_everything(analysis):
    hostile = analyse(
        case(series("heart_rate", [70]), [Medication("<script>alert(1)</script>", "{{ 7*7 }}")], name="<img src=x>")
    )
    report = orjson.loads(orjson.dumps(body(hostile, "ANALYSIS-2026-0", END, template_words(hostile))))
    page = export.html(report)
    assert "<script>" not in page
    assert "<img" not in page
    assert "{{ 7*7 }}" in page
    assert page.count(report["notice"][:30]) == 2


def test_a_pdf_is_made_where_the_library_is(analysis):
    pytest.importorskip("fpdf", reason="the extra muster[pdf] is not installed")
    named = analyse(case(series("heart_rate", [70, 75]), [Medication("Łek", "1")], name="Żółć 李"))
    for each in (analysis, named):
        report = orjson.loads(orjson.dumps(body(each, "ANALYSIS-2026-0", END, template_words(each))))
        assert export.pdf(report).startswith(b"%PDF-")


def test_without_the_library_a_pdf_is_refused_with_the_reason(analysis, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "fpdf", None)
    with pytest.raises(InvalidInput, match="muster\\[pdf\\]"):
        export.pdf({})


def table_of_ranges():
    """The table of docs/clinical.md."""
    known = vitals.parameters()
    head = ["vital sign", "possible", "sex", "age", "usual", "critical", "source"]
    rows = [head, ["---"] * len(head)]
    for row in vitals.rows():
        low, high = row["low"], row["high"]
        usual = f"up to {high:g}" if low is None else f"{low:g} to {high:g}"
        bounds = zip(("<=", ">="), row.get("critical", (None, None)), strict=True)
        critical = ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        one = known[row["parameter"]]
        possible = f"{one.possible[0]:g} to {one.possible[1]:g} {one.unit}"
        age = f"{row['from']:g} to {row['to']:g}"
        rows.append([one.name, possible, row["sex"], age, usual, critical, row["source"]])
    judged = {row["parameter"] for row in vitals.rows()}
    for row in vitals.any_age():
        bounds = zip(("<=", ">="), row["critical"], strict=True)
        critical = ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        one = known[row["parameter"]]
        usual = "" if row["low"] is None else f"{row['low']:g} to {row['high']:g}"
        possible = f"{one.possible[0]:g} to {one.possible[1]:g} {one.unit}"
        rows.append([one.name, possible, "any", "not known", usual, critical, row["source"]])
    rows += [
        [one.name, f"{one.possible[0]:g} to {one.possible[1]:g} {one.unit}", "", "", "no range", "", ""]
        for one in known.values()
        if one.name not in judged
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def test_the_page_shows_the_table_with_its_sources_and_units():
    page = (Path(__file__).parents[2] / "docs" / "clinical.md").read_text()
    assert table_of_ranges() in page
    for name, meaning in vitals.sources().items():
        assert f"- {name}: {meaning}" in page
    for one in vitals.parameters().values():
        assert all(f"`{unit}`" in page for unit in one.units)
    one_sided = {one.name: one.worse for one in vitals.parameters().values() if one.worse != "both"}
    assert one_sided == {"oxygen_saturation": "low", "waist": "high"}
    assert "only a falling oxygen_saturation and only a rising waist" in page
