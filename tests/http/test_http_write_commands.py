"""``muster generate``, ``chat`` and ``summarize`` against a running server."""

import json
import os
import subprocess
import sys

import pytest
from http_fakes import FakeFleet, build_services, serving

from deployments.call import ModelState
from deployments.errors import ModelNotReady
from deployments.generation import Turn


@pytest.fixture
def fleet():
    fleet = FakeFleet()
    fleet.known = {name: ModelState("ready", None, 1) for name in ("minilm", "talker", "digest")}
    return fleet


@pytest.fixture
def muster(fleet, tmp_path):
    with serving(build_services(fleet)) as url:
        env = {**os.environ, "MUSTER_HOME": str(tmp_path), "MUSTER_URL": url}

        def run(*arguments, stdin=""):
            command = [sys.executable, "-m", "serve_app.cli.main", *arguments]
            return subprocess.run(command, capture_output=True, text=True, env=env, input=stdin, timeout=120)

        yield run


def test_generate(muster, fleet):
    options = ("--max-tokens", "2", "--temperature", "0", "--stop", "x", "--stop", "y", "--seed", "3")
    done = muster("generate", "one two three", *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "one two \n", "")
    asked = fleet.streams[0][1]
    assert (asked.max_tokens, asked.temperature, asked.stop, asked.seed) == (2, 0, ("x", "y"), 3)
    piped = muster("generate", "--json", stdin="from a pipe\n")
    assert json.loads(piped.stdout)["choices"][0]["text"] == "from a pipe "
    assert fleet.streams[1][1].prompt == "from a pipe\n"


def test_a_chat_of_one_message(muster, fleet):
    done = muster("chat", "hello, naïve 日本", "--system", "be kind")
    assert (done.returncode, done.stdout) == (0, "hello, naïve 日本 \n")
    assert fleet.streams[0][1].prompt == (Turn("system", "be kind"), Turn("user", "hello, naïve 日本"))
    assert json.loads(muster("chat", "hello", "--json").stdout)["object"] == "chat.completion"


def test_a_chat_line_by_line_keeps_what_was_said(muster, fleet):
    done = muster("chat", stdin="first line\n\nsecond line\n")
    assert (done.returncode, done.stdout) == (0, "first line \nsecond line \n")
    assert fleet.streams[1][1].prompt == (
        Turn("user", "first line"),
        Turn("assistant", "first line "),
        Turn("user", "second line"),
    )


def test_summarize(muster, fleet):
    assert muster("summarize", "One. Two.", "Three.").stdout == "One. Two.\nThree.\n"
    assert muster("summarize", "--max-words", "5", stdin="A text\nof two lines. And more.").stdout.splitlines() == [
        "A text of two lines."
    ]
    assert json.loads(muster("summarize", "One.", "--json").stdout)["data"] == [{"index": 0, "summary": "One."}]


def test_errors_are_one_sentence(muster, fleet):
    refused = muster("chat", "hello", "--temperature", "9")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("muster: 400: ")
    fleet.breaks = {2: ModelNotReady("talker")}
    broken = muster("generate", "one two", "--model", "talker")
    assert (broken.returncode, broken.stdout) == (1, "one ")
    assert "not ready" in broken.stderr
    assert "Traceback" not in broken.stderr
