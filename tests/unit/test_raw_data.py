"""Raw transcripts and events to the training table: its columns, its cells, and what is said of a wrong line."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from deployments.errors import UnusableData
from deployments.skills.features import FEATURES
from deployments.skills.raw_data import TARGETS, read_raw, write_table
from serve_app.cli.main import app

NOW = 1_780_000_000.0
EVENT = {
    "event_id": "00000000-0000-0000-0000-000000000001",
    "session_id": "s",
    "event_type": "help_peer",
    "timestamp": "2026-03-01T09:30:00Z",
}
LINES = [
    {
        "student_id": "ada",
        "texts": ["I asked him. He helped me."],
        "empathy_score": 0.7,
        "grade": 5,
        "group_school": "n",
    },
    {"student_id": "bob", "events": [EVENT, EVENT], "as_of": "2026-03-02T00:00:00Z"},
]


def table(tmp_path, lines):
    path = tmp_path / "raw.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    made = io.StringIO()
    write_table(read_raw(path), made, NOW, 90)
    return [*csv.DictReader(io.StringIO(made.getvalue()))]


def test_the_table_has_the_columns_that_training_reads(tmp_path):
    ada, bob = table(tmp_path, LINES)
    assert [*ada] == ["student_id", "grade", "group_school", *(f.name for f in FEATURES), *TARGETS]
    assert (ada["grade"], ada["group_school"], ada["empathy_score"], ada["resilience_score"]) == ("5", "n", "0.7", "")
    assert (ada["word_count"], ada["event_count"], ada["noun_count"]) == ("6.0", "", "")
    assert (bob["word_count"], bob["event_count"], bob["collaboration_indicators"]) == ("", "1.0", "1.0")


def test_as_of_is_the_clock(tmp_path):
    (early,) = table(tmp_path, [LINES[1] | {"as_of": "2026-08-01T00:00:00Z"}])
    assert early["event_count"] == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2, column"),
        ("[]", "line 2: it must be"),
        ({"texts": ["hello"]}, "line 2, student_id"),
        ({"student_id": "x", "texts": "secret"}, "line 2, texts"),
        ({"student_id": "x", "texts": ["secret", 7]}, "line 2, texts"),
        ({"student_id": "x", "texts": ["..."]}, "line 2, texts"),
        ({"student_id": "x", "events": [EVENT | {"event_type": "Secret"}]}, r"line 2, events\[0\].event_type"),
        ({"student_id": "x", "as_of": "secret"}, "line 2, as_of"),
        ({"student_id": "x", "colour": "secret"}, "line 2, colour"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(tmp_path, line, told):
    with pytest.raises(UnusableData, match=told) as refused:
        table(tmp_path, [LINES[0], line])
    assert "ecret" not in str(refused.value)


def test_the_command_writes_the_table(tmp_path):
    raw, out = tmp_path / "raw.jsonl", tmp_path / "out.csv"
    raw.write_text(json.dumps(LINES[0]))
    done = CliRunner().invoke(app, ["skills", "features", str(raw), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "1 students" in done.stderr
    assert "Light path" in done.stderr
    assert out.read_text().startswith("student_id,grade,group_school,empathy_markers,")
    out.unlink()
    raw.write_text("{")
    assert CliRunner().invoke(app, ["skills", "features", str(raw), "--out", str(out)]).exit_code != 0
    assert not out.exists()
