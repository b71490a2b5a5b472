"""The comparison with other servers, as far as it needs none of them."""

import base64

import numpy as np
import orjson
import pytest

from benchmarks import peer_embeddings, peers
from benchmarks.checks.verdict import Verdict
from benchmarks.peer_embeddings import (
    EXACT,
    MANY_MIXED,
    MANY_SHORT,
    ONE,
    ONNX,
    PLAIN,
    PLANNED,
    TORCH,
    agree,
    judge,
)
from benchmarks.peer_environments import REQUIREMENTS, read_pins
from benchmarks.peer_servers import read_vectors


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_requirement_is_pinned_and_torch_is_among_them(path):
    assert "torch" in read_pins(path)


def test_infinity_is_the_version_that_the_floors_speak_of():
    assert read_pins(REQUIREMENTS / "infinity.txt")["infinity_emb"] == "0.0.78"


@pytest.mark.parametrize("text", ["torch>=2", "torch", "torch==1\nTorch==2", "--index-url x"])
def test_what_is_no_pin_is_refused(tmp_path, text):
    (tmp_path / "pins.txt").write_text(text)
    with pytest.raises(ValueError, match=r"pins\.txt"):
        read_pins(tmp_path / "pins.txt")


def test_vectors_are_read_as_numbers_and_as_base64():
    rows = np.array([[1.0, -2.0], [0.5, 3.0]], dtype="<f4")
    numbers = orjson.dumps({"data": [{"embedding": row.tolist()} for row in rows]})
    packed = orjson.dumps({"data": [{"embedding": base64.b64encode(row).decode()} for row in rows]})
    assert (read_vectors(numbers) == rows).all()
    assert (read_vectors(packed) == rows).all()


def test_vectors_agree_by_their_direction():
    rows = np.eye(3, dtype=np.float32)
    assert agree(rows * 2, rows)
    assert not agree(rows + np.float32(0.1), rows)


def test_floors_are_judged_by_the_median_of_the_rounds_ratios():
    workloads = (ONE, MANY_SHORT, MANY_MIXED)
    figures = {f"{PLANNED}, {workload}": [170.0, 400.0, 100.0] for workload in workloads}
    figures |= {f"{EXACT}, {workload}": [85.0, 200.0, 50.0] for workload in workloads}
    figures |= {f"{TORCH}, {ONE}": [100.0, 100.0, 100.0], f"{PLAIN}, {ONE}": [25.0, 50.0, 12.5]}
    figures |= {f"{ONNX}, {ONE}": [100.0, 100.0, 100.0], f"{TORCH}, {MANY_SHORT}": [170.0, 100.0, 100.0]}
    verdict = Verdict("peers")
    judge(figures, verdict)
    assert dict(verdict.timed) == {
        f"{PLANNED} / {TORCH}, {ONE} 1.7 >= 1.7": True,
        f"{PLANNED} / {PLAIN}, {ONE} 8 >= 8": True,
        f"{PLANNED} / {TORCH}, {MANY_SHORT} 1 >= 1.4": False,
    }
    assert verdict.figures[f"{PLANNED} / {ONNX}, {ONE}"] == 1.7
    assert verdict.figures[f"{EXACT} / {PLAIN}, {ONE}"] == 4


def test_everybody_is_first_in_some_round():
    names = ["a", "b", "c"]
    assert {peer_embeddings._in_turn(names, turn)[0] for turn in range(3)} == set(names)


def test_the_page_names_what_did_not_hold():
    verdict = Verdict("peers")
    verdict.at_least("Muster / other", 1.2, 1.4)
    verdict.at_least("Muster / slow", 9.0, 8.0)
    page = "\n".join(peers.pages([peers.Comparison(peers.EMBEDDINGS, {"Muster": [2.0, 4.0, 3.0]}, verdict)]))
    assert "| Muster | 3.0 | 2.0 | 4.0 |" in page
    assert "| Muster / other 1.2 >= 1.4 | NO |" in page
    assert "| Muster / slow 9 >= 8 | yes |" in page
