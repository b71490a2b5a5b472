"""The toys are real repositories of their architectures: they load and answer offline."""

import pytest

from model_store.catalogue import ModelSpec, load_catalogue
from tests.toy_models import JUNK, toy_for

SPECS = {(spec.task, spec.family): spec for spec in load_catalogue().models}


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: f"{spec.task}-{spec.family}")
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickled"])
def test_a_toy_loads(spec, pickled, tmp_path):
    folder = toy_for(spec, tmp_path / "toy", pickled)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"config.json", "README.md", "tokenizer.json", *JUNK} <= names
    assert ("pytorch_model.bin" in names) == pickled
    assert any(name.endswith(".safetensors") for name in names) != pickled
    answer(spec, folder)


def answer(spec: ModelSpec, folder) -> None:
    import transformers
    from sentence_transformers import SentenceTransformer

    if spec.task == "embedding":
        assert SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode("a duty").size
        return
    auto = {
        "classification": transformers.AutoModelForSequenceClassification,
        "zero-shot": transformers.AutoModelForSequenceClassification,
        "generation": transformers.AutoModelForCausalLM,
        "seq2seq": transformers.AutoModelForSeq2SeqLM,
    }[spec.task]
    model = auto.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert model.config.model_type == spec.family
    texts = ("the duty", "a model") if spec.task == "zero-shot" else ("the duty",)
    inputs = tokenizer(*texts, return_tensors="pt", return_token_type_ids=False)
    if spec.task in ("classification", "zero-shot"):
        assert model(**inputs).logits.shape == (1, len(spec.labels))
        assert tuple(model.config.id2label.values()) == spec.labels
    else:
        length = model.generate(**inputs, max_new_tokens=4, do_sample=False, pad_token_id=0).shape[1]
        assert length > 1


def test_the_same_spec_gives_the_same_weights(tmp_path):
    spec = load_catalogue().resolve("dialogpt-small")
    first, second = (toy_for(spec, tmp_path / name) / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_large_model_comes_in_shards(tmp_path):
    folder = toy_for(load_catalogue().resolve("mistral-7b-instruct"), tmp_path)
    assert (folder / "model.safetensors.index.json").is_file()
    assert len(list(folder.glob("model-*.safetensors"))) > 1
