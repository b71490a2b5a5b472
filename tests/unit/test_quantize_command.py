"""``muster models quantize`` and ``muster plan --precision`` as commands, on the real MiniLM."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from eight_bits import write_pairs, write_texts
from tiny_models import case, settings

from deployments.engines.encoders import load_encoder
from model_store.store import ModelStore

KEY = "all-minilm-l6-v2"
STS = Path(__file__).parents[3] / "shared" / "data" / "stsb-en-dev.csv"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data folder with MiniLM in its store."""
    folder = tmp_path_factory.mktemp("home")
    stored = case("minilm").stored.folder
    shutil.copytree(stored, folder / "store" / "models" / KEY, copy_function=os.link)
    return folder


def muster(home, *arguments):
    command = [sys.executable, "-m", "serve_app.cli.main", *arguments]
    env = {**os.environ, "MUSTER_HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=home, timeout=280)


@pytest.fixture(scope="module")
def judged(home):
    """The command's exit code and figures; by STS-B where it lies beside the checkout, else by words that both have."""
    data = STS if STS.is_file() else write_pairs(home / "pairs.csv", 400)
    done = muster(home, "models", "quantize", "embedding", "--sts", str(data), "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_figures_are_told_and_kept(home, judged):
    code, figures = judged
    assert code == (0 if figures["passed"] else 1)
    store = ModelStore(home / "store")
    assert store.gate(KEY).model_dump() == figures
    assert store.verify(KEY).ok
    assert figures["mean_cosine"] > 0.99
    assert figures["passed"] == (figures["drop_points"] <= figures["allowed_points"] == 0.5)


@pytest.mark.skipif(not STS.is_file(), reason="STS-B is not beside the checkout")
def test_minilm_passes_on_sts_b(judged):
    code, figures = judged
    assert code == 0
    assert figures["items"] == 1500
    assert figures["before"] == pytest.approx(0.86716, abs=1e-4)
    assert figures["drop_points"] <= 0.5


def test_a_plan_serves_what_passed(home, judged):
    if not judged[1]["passed"]:
        pytest.skip("the stand-in for STS-B was not passed")
    shown = muster(home, "plan", "--gpus", "0", "--tier", "basic", "--precision", "int8", "--write", "planned.yaml")
    assert shown.returncode == 0, shown.stderr
    assert f"{KEY}  " in shown.stdout
    assert "cpu int8" in shown.stdout
    assert "precision: int8" in (home / "planned.yaml").read_text()
    plain = muster(home, "plan", "--gpus", "0", "--tier", "basic")
    assert "int8" not in plain.stdout + plain.stderr
    placed = json.loads(muster(home, "plan", "--gpus", "0", "--precision", "int8", "--json").stdout)["placements"]
    assert {each["precision"] for each in placed if each["key"] == KEY} == {"int8"}
    assert all(each["why_fp32"] for each in placed if each["key"] != KEY)


def test_its_vectors_are_nearly_the_exact_ones(home, judged):
    if not judged[1]["passed"]:
        pytest.skip("the stand-in for STS-B was not passed")
    store, texts = ModelStore(home / "store"), ["", "A plane is taking off.", "duty " * 400, "café 漢字 😀"]
    exact, eight = (load_encoder(store.open(KEY, precision), settings()) for precision in ("fp32", "int8"))
    eight.warm()
    found, wanted = eight.encode(texts), exact.encode(texts)
    assert 0.97 < (found * wanted).sum(axis=1).min() < 1
    assert np.abs(found - np.concatenate([eight.encode([text]) for text in texts])).max() < 1e-5
    assert store.process_bytes(KEY, "int8") < store.process_bytes(KEY)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((KEY,), "is judged by --sts FILE"),
        ((KEY, "--texts", "texts.txt"), "is judged by --sts FILE"),
        ((KEY, "--sts", "pairs.csv", "--texts", "texts.txt"), "is judged by --sts FILE"),
        (("distilbert-sst-2", "--sts", "pairs.csv"), "is judged by --texts FILE"),
        (("dialogpt-small", "--texts", "texts.txt"), "no int8 backend for generation"),
        ((KEY, "--sts", "missing.csv"), "missing.csv cannot be read"),
        ((KEY, "--sts", "texts.txt"), "texts.txt, line 1: it has 1 columns"),
        (("no-such-model", "--sts", "pairs.csv"), "no-such-model"),
    ],
)
def test_wrong_usage_is_one_sentence(home, arguments, told):
    write_pairs(home / "pairs.csv")
    write_texts(home / "texts.txt")
    done = muster(home, "models", "quantize", *arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_here(home):
    write_texts(home / "texts.txt")
    done = muster(home, "models", "quantize", "distilbert-sst-2", "--texts", "texts.txt")
    assert done.returncode == 1
    assert "not in the store" in done.stderr
