"""Hostile files do not enter; the models of the catalogue do."""

import io
import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import safetensors
from hostile import GOOD_CONFIG, GOOD_TENSORS, HOSTILE, config, good, put, say, weights

from model_store import safetensors_header, trust
from model_store.catalogue import load_catalogue
from model_store.config_keys import ALLOWED
from model_store.errors import ModelStoreError, UntrustedArtefact
from model_store.sources import source_of

SPECS = {(spec.task, spec.family): spec for spec in load_catalogue().models}


def test_a_good_folder_is_trusted(tmp_path):
    trust.inspect(good(tmp_path / "model"), "bert")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folders_are_refused(name, tmp_path):
    folder = good(tmp_path / "model")
    HOSTILE[name](folder)
    started = time.process_time()
    with pytest.raises(UntrustedArtefact) as caught:
        trust.inspect(folder, "bert")
    assert time.process_time() - started < 2
    assert isinstance(caught.value, ModelStoreError)
    message = str(caught.value)
    assert caught.value.file in message
    assert message.isprintable()
    assert len(message) < 500
    for secret in ("evil", "root:", "touch", "/etc"):
        assert secret not in caught.value.reason


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 100


def test_the_message_names_the_file_and_the_key(tmp_path):
    folder = good(tmp_path / "model")
    config(run_this="evil")(folder)
    with pytest.raises(UntrustedArtefact, match=r"config\.json: the key 'run_this' is not known for 'bert'"):
        trust.inspect(folder, "bert")


def test_the_folder_itself_is_no_link(tmp_path):
    folder = good(tmp_path / "model")
    (tmp_path / "link").symlink_to(folder)
    for path in (tmp_path / "link", folder / "config.json"):
        with pytest.raises(UntrustedArtefact, match="not a folder"):
            trust.inspect(path, "bert")


def test_a_family_that_nobody_knows_has_no_keys(tmp_path):
    with pytest.raises(UntrustedArtefact):
        trust.inspect(good(tmp_path / "model"), "llama")


def test_a_file_exchanged_after_it_was_listed_is_refused(tmp_path, monkeypatch):
    folder = good(tmp_path / "model")
    walk = trust._walk

    def exchange(root: Path):
        names = list(walk(root))
        (folder / "vocab.txt").unlink()
        (folder / "vocab.txt").symlink_to("/etc/passwd")
        (folder / "spiece.model").unlink()
        os.mkfifo(folder / "spiece.model")
        return names

    monkeypatch.setattr(trust, "_walk", exchange)
    with pytest.raises(UntrustedArtefact, match=r"spiece\.model: it is not a plain file"):
        trust.inspect(folder, "bert")
    monkeypatch.setattr(trust, "_walk", lambda root: ["config.json", "vocab.txt"])
    with pytest.raises(UntrustedArtefact, match=r"vocab\.txt: it cannot be opened"):
        trust.inspect(folder, "bert")


def test_weights_may_begin_with_the_bytes_of_a_pickle(tmp_path):
    folder = good(tmp_path / "model")
    header = json.dumps(GOOD_TENSORS).encode().ljust(0x0280)
    put("model.safetensors", weights(None, raw=header))(folder)
    assert (folder / "model.safetensors").read_bytes()[:2] == b"\x80\x02"
    trust.inspect(folder, "bert")


def test_tensors_may_be_listed_in_any_order_and_be_empty(tmp_path):
    folder = good(tmp_path / "model")
    empty = {"dtype": "F32", "shape": [0, 3], "data_offsets": [16, 16]}
    header = {"b": GOOD_TENSORS["b"], "__metadata__": {"format": "pt"}, "c": empty, "a": GOOD_TENSORS["a"]}
    put("model.safetensors", weights(header))(folder)
    trust.inspect(folder, "bert")


def test_what_the_header_check_lets_in_the_library_reads():
    """Seeded damage to a header: wherever the check is content, safetensors itself is too."""
    original = weights(GOOD_TENSORS)
    randomness = random.Random(11)
    alphabet = b'{}[],:"0123456789abFU-. \\'
    let_in = 0
    for _ in range(4000):
        damaged = bytearray(original)
        for _ in range(randomness.choice((1, 1, 2, 3))):
            damaged[randomness.randrange(len(original) - 24)] = randomness.choice(alphabet)
        try:
            safetensors_header.check(io.BytesIO(damaged), len(damaged))
        except safetensors_header.BadHeader:
            continue
        let_in += 1
        assert len(safetensors.deserialize(bytes(damaged))) == 2
    assert let_in > 20


def test_words_of_a_vocabulary_are_no_keys(tmp_path):
    folder = good(tmp_path / "model")
    say("vocab.json", {"auto_map": 0, "kernel": 1, "trust_remote_code": 2})(folder)
    trust.inspect(folder, "bert")


# What published checkpoints of these families carry beyond what transformers writes today.
LEGACY = {
    "bert": {"directionality": "bidi", "pooler_fc_size": 768, "pooler_type": "first_token_transform"},
    "roberta": {"gradient_checkpointing": False, "position_embedding_type": "absolute", "problem_type": None},
    "xlm-roberta": {"output_past": True, "_name_or_path": "xlm-roberta-large", "torch_dtype": "float32"},
    "distilbert": {"finetuning_task": "sst-2", "tie_weights_": True, "output_past": True},
    "mpnet": {"gradient_checkpointing": False, "relative_attention_num_buckets": 32},
    "bart": {
        **{"_num_labels": 3, "add_bias_logits": False, "add_final_layer_norm": False, "classif_dropout": 0.0},
        **{"extra_pos_embeddings": 2, "force_bos_token_to_be_generated": True, "normalize_before": False},
        **{"normalize_embedding": True, "output_past": True, "prefix": " ", "replacing_rate": 0},
        **{"static_position_embeddings": False, "student_decoder_layers": None, "early_stopping": True},
        **{"task_specific_params": {"summarization": {"max_length": 142, "num_beams": 4}}},
    },
    "gpt2": {"n_ctx": 1024, "task_specific_params": {"conversational": {"max_length": 1000}}, "summary_use_proj": True},
    "mistral": {"rope_theta": 1000000.0, "sliding_window": None, "torch_dtype": "bfloat16"},
    "phi": {"partial_rotary_factor": 0.4, "rope_scaling": None, "rope_theta": 10000.0},
    "t5": {"n_positions": 512, "output_past": True, "feed_forward_proj": "gated-gelu", "is_gated_act": True},
}


@pytest.mark.parametrize("family", ALLOWED)
def test_keys_of_published_checkpoints_are_known(family, tmp_path):
    folder = good(tmp_path / "model")
    say("config.json", GOOD_CONFIG | LEGACY[family] | {"model_type": family})(folder)
    trust.inspect(folder, family)


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: f"{spec.task}-{spec.family}")
def test_what_the_installed_transformers_writes_is_trusted(spec, tmp_path):
    from tests.toy_models import JUNK, toy_for

    folder = toy_for(spec, tmp_path / "toy")
    with pytest.raises(UntrustedArtefact):
        trust.inspect(folder, spec.family)
    for name in JUNK:
        (folder / name).unlink()
    (folder / "onnx").rmdir()
    trust.inspect(folder, spec.family)


def test_the_starter_model_is_trusted(tmp_path):
    spec = load_catalogue().resolve("embedding")
    for name in spec.files:
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with source_of(spec).open(name) as reader, path.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
    trust.inspect(tmp_path / "model", spec.family)
