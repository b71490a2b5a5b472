"""The training file: what is accepted, and that every mistake is told with its line and column and without its value."""

import csv
import math

import numpy as np
import pytest

from deployments.errors import UnusableData
from deployments.skills.features import FEATURES, INDEX, SKILLS
from deployments.skills.train import train_skills
from deployments.skills.training_data import TrainingData, folds_by_student, split_by_student, synthetic_data
from deployments.skills.training_table import RECOMPUTED, REQUIRED, SHOWN, read_table
from model_store.skills import read_record

SECRET = "Quentin-77"


def row(**changes):
    """A good row."""
    values = {name: "0.5" for name in REQUIRED}
    values |= {"negative_sentiment": "-0.1", "student_id": "s1"}
    return values | changes


def write(path, rows, header=None):
    header = header or list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([[row.get(name, "") for name in header] for row in rows])
    return path


def refused(path):
    with pytest.raises(UnusableData) as caught:
        read_table(path)
    return str(caught.value)


def test_a_good_file_is_read(tmp_path):
    rows = [
        row(student_id="a", grade="4", group_school="north", focus_duration=""),
        row(student_id="b", grade="K", group_school="", empathy_score=""),
        row(student_id="a", grade="", group_school="south"),
    ]
    data = read_table(write(tmp_path / "good.csv", rows))
    assert data.students.tolist() == [0, 1, 0]
    assert data.grades.tolist() == [4, 0, -1]
    assert data.bands.tolist() == ["3-5", "K-2", ""]
    assert data.groups["school"].tolist() == ["north", "", "south"]
    assert math.isnan(data.base[0, INDEX["focus_duration"]])
    assert math.isnan(data.targets["empathy"][1])
    assert data.rated(np.arange(3), "empathy").tolist() == [0, 2]
    assert not data.synthetic
    assert data.source["students"] == 2


def test_the_derived_columns_are_accepted_and_not_believed(tmp_path):
    plain = read_table(write(tmp_path / "plain.csv", [row()]))
    wrong = read_table(write(tmp_path / "wrong.csv", [row(**{name: "999" for name in RECOMPUTED})]))
    np.testing.assert_array_equal(plain.base, wrong.base)
    assert plain.source["sha256"] == wrong.source["sha256"]


def test_every_problem_is_told_with_line_and_column_and_no_value(tmp_path):
    rows = [
        row(),
        row(focus_duration="long", student_id=SECRET),
        row(negative_sentiment="0.4", grade="fourth"),
        row(empathy_markers="0,5", student_id=""),
        row(empathy_score="1.2"),
        row(word_count="nan"),
    ]
    told = refused(write(tmp_path / "bad.csv", rows))
    assert told.startswith("bad.csv has 7 problems:")
    for part in (
        "line 3, column focus_duration: it is no number; give a number from 0 to 86400 (seconds), or an empty cell",
        "line 4, column negative_sentiment: it is out of range; give a number from -1 to 0",
        "line 4, column grade: give a grade from 0",
        "line 5, column empathy_markers: it is no number",
        "write decimals with a point",
        "line 5, column student_id: it is empty",
        "line 6, column empathy_score: it is out of range; give a number from 0 to 1",
        "line 7, column word_count: it is out of range",
    ):
        assert part in told
    for value in (SECRET, "long", "fourth", "0,5", "1.2"):
        assert value not in told


def test_many_problems_are_counted_and_some_are_told(tmp_path):
    told = refused(write(tmp_path / "bad.csv", [row(word_count="x") for _ in range(50)]))
    assert "50 problems" in told
    assert told.count("\n  line") == SHOWN
    assert told.endswith(f"and {50 - SHOWN} more")


def test_the_heading_is_checked_first(tmp_path):
    good = row()
    told = refused(write(tmp_path / "bad.csv", [good], [name for name in good if name != "word_count"] + ["shoe_size"]))
    assert "line 1, column word_count: this column is missing" in told
    assert "line 1, column shoe_size: no such column" in told
    told = refused(write(tmp_path / "twice.csv", [good], [*good, "word_count"]))
    assert "line 1, column word_count: this column is there twice" in told


def test_short_rows_and_things_that_are_no_csv_are_refused(tmp_path):
    path = write(tmp_path / "short.csv", [row()])
    path.write_text(path.read_text() + "a,b\n")
    assert "line 3, column all: it has 2 cells, and the heading has" in refused(path)
    for content, part in ((b"", "column is missing"), (b"\xff\xfe\x00", "not UTF-8"), (b'"a', "not CSV")):
        path.write_bytes(content)
        assert part in refused(path)
    assert "cannot be read" in refused(tmp_path / "nothing.csv")
    assert "no rows" in refused(write(tmp_path / "empty.csv", [], list(REQUIRED)))


def test_a_group_column_has_few_values(tmp_path):
    rows = [row(group_name=f"value {n}") for n in range(30)]
    assert "line 1, column group_name" in refused(write(tmp_path / "names.csv", rows))


# --- splits ----------------------------------------------------------------------------------------------------------


def several_rows_a_student(students=500):
    rng = np.random.default_rng(1)
    held = rng.permutation(np.repeat(np.arange(students), rng.integers(1, 6, students)))
    base = rng.random((len(held), len(FEATURES))).astype(np.float32)
    targets = {skill: rng.random(len(held)).astype(np.float32) for skill in SKILLS}
    return TrainingData(base, targets, held, np.full(len(held), -1), {}, {"sha256": "0"}, synthetic=False)


def test_no_student_is_in_two_splits_or_two_folds():
    data = several_rows_a_student()
    split = split_by_student(data, 7)
    parts = [set(data.students[rows].tolist()) for rows in (split.train, split.calibration, split.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert [len(part) for part in parts] == [350, 75, 75]
    assert sorted(np.concatenate((split.train, split.calibration, split.test)).tolist()) == list(range(len(data)))
    fold = folds_by_student(data.students, 5)
    for student in range(500):
        assert len(set(fold[data.students == student].tolist())) == 1
    assert set(fold.tolist()) == set(range(5))


# --- from a file to a bundle -----------------------------------------------------------------------------------------


def table_of(path, students, seed=5):
    """Synthetic students as a file of rated ones."""
    made = synthetic_data(students, seed)
    names = [feature.name for feature in FEATURES]
    rows = []
    for number in range(students):
        values = ["" if np.isnan(value) else repr(float(value)) for value in made.base[number]]
        scores = {f"{skill}_score": repr(float(made.targets[skill][number])) for skill in SKILLS}
        one = {
            "student_id": f"s{number}",
            "grade": str(made.grades[number]),
            "group_level": made.groups["level"][number],
        }
        rows.append({**one, **dict(zip(names, values, strict=True)), **scores})
    return write(path, rows)


def test_a_file_trains_models_that_say_so(tmp_path):
    data = read_table(table_of(tmp_path / "rated.csv", 1400))
    report = train_skills(tmp_path / "skills", data=data, seed=3, threads=2, parent="before")
    record, _ = read_record(tmp_path / "skills", report.version)
    assert record.synthetic_model is False
    assert record.parent == "before"
    assert record.training_data["sha256"] == data.source["sha256"]
    assert record.training_data["rows"] == {"train": 980, "calibration": 210, "test": 210}
    assert record.skills["empathy"].metrics["r2"] > 0.7
    assert "level: high" in record.skills["empathy"].groups
    card = (report.path / "MODEL_CARD.md").read_text()
    assert "Trained on rated students" in card
    assert "ynthetic" not in card


def test_too_few_rated_rows_are_refused_with_the_numbers(tmp_path):
    data = read_table(table_of(tmp_path / "few.csv", 900))
    with pytest.raises(UnusableData, match=r"empathy_score: 630 rated rows for train; at least 800 are needed"):
        train_skills(tmp_path / "skills", data=data, threads=1)
