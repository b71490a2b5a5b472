"""Clinical reports: directions whatever the order, ranges, impossible values, formulas, words that are read."""

import itertools
import math
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from deployments.chat.reply_check import Withheld
from deployments.clinical import export, vitals
from deployments.clinical.appraisal import POINTS
from deployments.clinical.medication import Medication, notes_on
from deployments.clinical.narrative import checked, facts_of, messages_for, template_words
from deployments.clinical.report import Case, analyse, body
from deployments.clinical.vitals import Measurement, measured, reference
from deployments.errors import InvalidInput

START = datetime(2026, 9, 1, 8, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)


def series(parameter, values, step_h=24):
    return [Measurement(parameter, float(v), START + timedelta(hours=step_h * i)) for i, v in enumerate(values)]


def case(measurements, medications=(), **more):
    known = {"patient_id": "p1", "name": "Ada", "age": 50.0, "sex": "female", "since": None, "until": END, **more}
    return Case(measurements=measurements, medications=medications, **known)


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
    assert reference("heart_rate", None, "male") is None
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
        ("temperature", 39.1, "critical_high"),
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
    old = analyse(case(series("oxygen_saturation", [88, 96, 97])))
    assert old.risk.level == "low"


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


def test_the_period_cuts_and_says_so():
    given = series("heart_rate", [70] * 10)
    analysis = analyse(case(given, since=START + timedelta(days=5)))
    report = body(analysis, "x", END, template_words(analysis))
    assert report["metadata"]["data_points_analyzed"] == 5
    assert report["metadata"]["data_points_outside_range"] == 5


def test_halves_are_compared_on_request():
    given = series("heart_rate", [60, 61, 62, 61, 80, 81, 82, 81])
    assert vital(analyse(case(given)), "heart_rate").halves is None
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


def test_the_page_escapes_everything(analysis):
    import orjson

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
    import orjson

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
