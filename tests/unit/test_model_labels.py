"""A classifier's labels are read from its configuration as transformers reads them."""

import json

import pytest
from tiny_classifiers import FAMILIES, build, rewrite

from model_store import export
from model_store.errors import ConversionFailed, UntrustedArtefact
from model_store.export_classifier import classifier_subject, separator_of
from model_store.labels import entailment_number, read_labels, require_count
from model_store.loading import load_model, load_tokenizer


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {"0": "a", "1": "b", "2": "c"}},
        {"id2label": {"1": "b", "0": "", "10": "k", **{str(n): f"n{n}" for n in range(2, 10)}}},
        {"num_labels": 4},
        {},
        {"id2label": {"0": "only"}, "label2id": {"other": 0}},
    ],
)
def test_labels_are_those_of_transformers(tmp_path, config):
    import transformers

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    known = transformers.AutoConfig.from_pretrained(tmp_path)
    assert dict(enumerate(read_labels(tmp_path))) == known.id2label


@pytest.mark.parametrize(
    "names",
    [{"0": "a", "2": "b"}, {"1": "a"}, {}, {"a": "b"}, ["a", "b"], {"0": "a", "00": "b"}, {"0": 7}, {"0": None}, "ab"],
)
def test_labels_without_plain_numbers_and_names_are_refused(tmp_path, names):
    (tmp_path / "config.json").write_text(json.dumps({"id2label": names}))
    with pytest.raises(UntrustedArtefact, match="its id2label"):
        read_labels(tmp_path)


def test_the_count_must_be_the_catalogues(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "a"}}))
    require_count(tmp_path, 1)
    with pytest.raises(UntrustedArtefact, match="it has 1 labels where the catalogue has 7"):
        require_count(tmp_path, 7)


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({"label2id": {"entailment": 2, "neutral": 1}}, 2),
        ({"label2id": {"ENTAIL": 0, "no": 1}}, 0),
        ({"label2id": {"LABEL_0": 0}}, -1),
        ({"id2label": {"0": "Entailment", "1": "b"}}, 0),
        ({}, -1),
    ],
)
def test_entailment_is_the_label_that_is_called_so(tmp_path, config, number):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert entailment_number(tmp_path) == number


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_its_head_is_refused(tmp_path, family):
    folder = build(family, tmp_path / family, ("a", "b"), 24)
    base = load_model(folder, "embedding")
    base.save_pretrained(folder)
    with pytest.raises(ConversionFailed, match="it is not a classifier"):
        classifier_subject(folder, "classification")


def test_a_graph_that_differs_is_refused(tmp_path, monkeypatch):
    folder = build("distilbert", tmp_path / "model", ("a", "b"), 24)
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(ConversionFailed, match="differs from torch by"):
        export.export(folder, tmp_path, "classification", lambda message: None)


def test_a_tokenizer_that_does_not_end_bart_texts_is_refused(tmp_path):
    folder = build("bart", tmp_path / "model", ("a", "b"), 24)
    rewrite(folder, eos_token_id=0)
    with pytest.raises(ConversionFailed, match="does not end a text"):
        classifier_subject(folder, "zero-shot")


def test_a_tokenizer_with_other_types_of_tokens_is_refused(tmp_path):
    from tokenizers.processors import TemplateProcessing

    folder = build("bert", tmp_path / "model", ("a", "b"), 24)
    tokenizer, config = load_tokenizer(folder), load_model(folder, "zero-shot").config
    assert separator_of(config, tokenizer) == tokenizer.sep_token_id
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    # The first separator belongs to the second text.
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP]:1 $B:1 [SEP]:1", special_tokens=ids
    )
    with pytest.raises(ConversionFailed, match="types of tokens"):
        separator_of(config, tokenizer)
