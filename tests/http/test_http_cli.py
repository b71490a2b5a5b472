"""The command line against the application over real HTTP."""

import json
import os
import subprocess
import sys

import pytest
from http_fakes import FakeFleet, build_services, serving


@pytest.fixture(scope="module")
def url():
    with serving(build_services(FakeFleet())) as address:
        yield address


def muster(url, *arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "serve_app.cli.main", *arguments, "--url", url],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )


def test_texts_from_stdin_are_labelled_in_batches(url):
    lines = "\n".join(f"text {n}" for n in range(300))
    done = muster(url, "classify", "--model", "emotion", "--top-k", "2", "--json", stdin=lines)
    rows = json.loads(done.stdout)
    assert [row["index"] for row in rows] == list(range(300))
    assert {len(row["labels"]) for row in rows} == {2}
    assert {row["model"] for row in rows} == {"minilm"}


def test_the_table_names_the_model_and_tells_of_a_stand_in(url):
    done = muster(url, "zero-shot", "x", "--label", "money", "--label", "sport")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["text", "labels", "model"]
    assert "minilm" in done.stdout
    assert "stood in" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("zero-shot", "x"), "--label"),
        (("classify", "x", "--model", "nothing"), "nothing"),
        (("classify", "x", "--truncate", "never"), "truncate"),
    ],
)
def test_what_is_wrong_is_named(url, arguments, told):
    done = muster(url, *arguments)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_embeddings_are_a_line_each(url):
    done = muster(url, "embed", stdin="one\ntwo\n")
    assert [len(json.loads(line)) for line in done.stdout.splitlines()] == [384, 384]
