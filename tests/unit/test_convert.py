"""The conversion: in a child, proved against torch, and loud when it fails."""

import json
import sys

import numpy as np
import pytest
from tiny_models import FAMILIES, MAX_TOKENS, case, root

from model_store import convert, measure
from model_store.catalogue import load_catalogue
from model_store.errors import ConversionFailed
from model_store.store import ModelStore


def facts(name: str) -> dict:
    return json.loads((case(name).stored.artefact_dir() / "encoder.json").read_text())


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_the_graph_was_checked_against_torch(name):
    assert 0 <= facts(name)["max_abs_diff"] < 1e-4


@pytest.mark.parametrize(("name", "offset"), [("bert", 0), ("distilbert", 0), ("roberta", 2), ("mpnet", 2)])
def test_the_facts_know_where_positions_begin(name, offset):
    assert facts(name)["position_offset"] == offset
    assert facts(name)["max_tokens"] == MAX_TOKENS


def test_the_limit_never_exceeds_the_positions_there_are(tmp_path):
    from tiny_models import build

    folder = build("roberta", tmp_path / "roberta")
    path = folder / "sentence_bert_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_seq_length": 512, "processor_kwargs": {}}))
    target = tmp_path / "target"
    target.mkdir()
    convert.in_this_process(folder, target, "embedding", lambda message: None)
    assert json.loads((target / "encoder.json").read_text())["max_tokens"] == MAX_TOKENS


def test_minilm_went_through_a_child_process_and_matches_the_catalogue():
    stored, spec = case("minilm").stored, load_catalogue().resolve("embedding")
    assert facts("minilm")["dimensions"] == spec.dimensions
    assert facts("minilm")["max_tokens"] == spec.limits.max_tokens
    assert sorted(path.name for path in stored.artefact_dir().iterdir()) == [
        "encoder.json",
        "encoder.onnx",
        "memory.json",
        "tokenizer.json",
    ]
    messages: list[str] = []
    ModelStore(root() / "store").adopt(spec, messages.append)
    assert messages == []


def test_the_artefact_is_keyed_by_all_it_depends_on(monkeypatch):
    def made_with(task: str = "embedding", **files: str) -> dict[str, str]:
        return convert.made_with(files, task)

    made = made_with(a="1", b="2")
    assert made == made_with(b="2", a="1")
    others = [made_with(a="1", b="3"), made_with(a="1"), made_with("classification", a="1", b="2")]
    monkeypatch.setattr(convert, "version", lambda name: "0")
    others.append(made_with(a="1", b="2"))
    assert len({convert.artefact_id(facts) for facts in [made, *others]}) == 5


@pytest.mark.parametrize(
    ("config", "modules", "answer"),
    [
        ({"model_type": "bert"}, [{"type": "sentence_transformers.models.Transformer"}], True),
        ({"model_type": "t5"}, [{"type": "sentence_transformers.models.Transformer"}], False),
        ({"model_type": "bert"}, [{"type": "sentence_transformers.models.WordEmbeddings"}], False),
        ({"model_type": "bert"}, [{"type": "evil.Transformer"}], False),
        ({"model_type": "bert"}, [], False),
        ([], [], False),
    ],
)
def test_only_known_families_are_converted(tmp_path, config, modules, answer):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    assert convert.is_convertible(tmp_path, "embedding") is answer
    assert convert.is_convertible(tmp_path, "generation") is False
    assert convert.is_convertible(tmp_path / "nowhere", "embedding") is False


@pytest.mark.parametrize("task", ["classification", "zero-shot"])
def test_only_known_families_of_classifiers_are_converted(tmp_path, task):
    for family, answer in {"bert": True, "bart": True, "mpnet": True, "gpt2": False, "t5": False}.items():
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
        assert convert.is_convertible(tmp_path, task) is answer
    assert convert.is_convertible(tmp_path / "nowhere", task) is False


def test_a_child_that_fails_says_why(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ConversionFailed, match=r"ended with status 1: \w+"):
        convert.in_child_process(tmp_path / "no-model", target, "embedding", lambda message: None)


def test_a_child_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "TIMEOUT_S", 0.2)
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    with pytest.raises(ConversionFailed, match=r"did not end within 0\.2 s"):
        convert.in_child_process(tmp_path, tmp_path, "embedding", lambda message: None)


def test_a_graph_that_differs_is_refused(tmp_path, monkeypatch):
    from model_store import export

    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(ConversionFailed, match="differs from torch by"):
        export.export(case("bert").stored.files, tmp_path, "embedding", lambda message: None)


def test_typed_special_tokens_leave_the_vocabulary():
    from model_store.export import untypable_special_tokens

    added = [{"content": "</s>", "special": True}, {"content": "<unk>", "special": True}]
    pieces = {"model": {"unk_token": "<unk>", "vocab": {"</s>": 0, "<unk>": 1, "s": 2}}, "added_tokens": added}
    assert untypable_special_tokens(pieces)["model"]["vocab"] == {"\uffff</s>": 0, "<unk>": 1, "s": 2}
    scored = {"model": {"unk_id": 1, "vocab": [["</s>", 0.0], ["s", -1.0]]}, "added_tokens": added}
    assert untypable_special_tokens(scored)["model"]["vocab"] == [["\uffff</s>", 0.0], ["s", -1.0]]


def test_the_golden_embeddings_are_the_references():
    golden = facts("minilm")["golden"]
    wanted = case("minilm").reference.encode([entry["text"] for entry in golden])
    assert np.abs(np.array([entry["embedding"] for entry in golden]) - wanted).max() < 1e-5


def test_its_memory_was_measured_in_a_process_without_torch():
    stored = case("minilm").stored
    taken = measure.process_bytes(stored.artefact_dir())
    graph = (stored.artefact_dir() / "encoder.onnx").stat().st_size
    assert taken is not None
    assert graph < taken < graph + 250 * 2**20
    assert ModelStore(root() / "store").process_bytes(stored.key) == taken


def test_a_model_without_a_measurement_has_none(tmp_path):
    assert measure.process_bytes(tmp_path) is None
    for text in ("", "{}", "[]", '{"process_bytes": "many"}', '{"process_bytes": 0}'):
        (tmp_path / "memory.json").write_text(text)
        assert measure.process_bytes(tmp_path) is None
    assert ModelStore(root() / "store").process_bytes("no-such-model") is None


def test_a_graph_that_a_replica_could_not_run_is_refused(tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    (tmp_path / "tokenizer.json").write_bytes((case("bert").stored.artefact_dir() / "tokenizer.json").read_bytes())
    with pytest.raises(ConversionFailed, match=r"model_store\.measure ended with status 1"):
        measure.in_child_process(tmp_path, lambda message: None)
