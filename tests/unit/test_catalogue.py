"""The catalogue: what it accepts, what it refuses, how names resolve."""

import subprocess
import sys

import pytest

from model_store.catalogue import Catalogue, ModelSpec, load_catalogue
from model_store.errors import CatalogueError, UnknownModel

ENTRY = {
    "key": "toy",
    "id": "org/Toy-Model",
    "task": "embedding",
    "family": "bert",
    "parameters": 1000,
    "download_mb": 1,
    "roles": ["embedding"],
    "source": {"package": "toy", "folder": "toy/model"},
    "revision": "a" * 40,
    "licence": "MIT",
    "dimensions": 8,
    "limits": {"max_tokens": 16},
    "files": {"config.json": "b" * 64},
}


def catalogue(*changes: dict) -> Catalogue:
    return Catalogue.model_validate({"format": 1, "models": [{**ENTRY, **change} for change in changes or ({},)]})


def test_the_shipped_catalogue_locks_minilm():
    spec = load_catalogue().resolve("embedding")
    assert spec.key == "all-minilm-l6-v2"
    assert spec.files["model.safetensors"] == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert (spec.dimensions, spec.limits.max_tokens, spec.licence) == (384, 256, "Apache-2.0")


@pytest.mark.parametrize("name", ["toy", "org/Toy-Model", "ORG/toy-MODEL", "embedding"])
def test_a_model_answers_to_its_key_id_and_role(name):
    assert catalogue().resolve(name).key == "toy"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownModel, match=r"no model 'other'. Known: toy"):
        catalogue().resolve("other")


@pytest.mark.parametrize(
    "change",
    [
        {"key": "Upper"},
        {"key": "../up"},
        {"key": "gateway"},
        {"key": "skills"},
        {"key": "embedding"},
        {"id": "a/b/c"},
        {"revision": "main"},
        {"dimensions": 0},
        {"roles": ["captain"]},
        {"files": {}},
        {"files": {"config.json": "short"}},
        {"files": {"../config.json": "b" * 64}},
        {"files": {"/etc/config.json": "b" * 64}},
        {"files": {"model.bin": "b" * 64}},
        {"files": {"code.py": "b" * 64}},
        {"files": {"a/.hidden.json": "b" * 64}},
        {"surprise": 1},
        {"source": {"package": "toy", "folder": "f", "url": "u"}},
    ],
)
def test_a_wrong_entry_is_refused(change):
    with pytest.raises(ValueError, match="validation error"):
        catalogue(change)


def test_names_are_unique_whatever_their_case():
    with pytest.raises(ValueError, match="org/toy-model"):
        catalogue({}, {"key": "other", "id": "ORG/TOY-MODEL"})


def test_entries_cannot_be_changed():
    spec = catalogue().resolve("toy")
    assert isinstance(spec, ModelSpec)
    with pytest.raises(ValueError, match="frozen"):
        spec.key = "other"


@pytest.mark.parametrize("text", ["format: 2\nmodels: []", "models: [", "format: 1", "format: 1\nmodels: [{key: x}]"])
def test_a_broken_file_is_a_catalogue_error_that_names_the_field(tmp_path, text):
    path = tmp_path / "catalogue.yaml"
    path.write_text(text)
    with pytest.raises(CatalogueError, match=r"catalogue\.yaml"):
        load_catalogue(path)


def test_the_ground_floor_is_cheap_to_import():
    code = (
        "import sys; import model_store.store, model_store.settings;"
        "print(sorted({'torch', 'transformers', 'onnxruntime', 'numpy', 'ray'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


HEAD = {
    "key": "toy-mood",
    "id": "org/Toy-Mood",
    "task": "classification",
    "roles": ["emotion"],
    "source": {"shipped": "heads"},
    "head_of": "toy",
    "revision": "b" * 40,
    "dimensions": None,
    "labels": ["glad", "sad"],
    "files": {"toy-mood.safetensors": "b" * 64},
}


def test_a_head_lives_with_its_base():
    known = catalogue({}, HEAD)
    head = known.resolve("toy-mood")
    assert known.host_of(head).key == "toy"
    assert known.host_of(known.resolve("toy")).key == "toy"
    assert known.heads_of("toy") == (head,)
    assert known.heads_of("toy-mood") == ()


@pytest.mark.parametrize(
    "change",
    [
        {"head_of": None},
        {"head_of": "other"},
        {"head_of": "toy-mood"},
        {"labels": []},
        {"revision": "c" * 40},
        {"source": {"package": "toy", "folder": "toy/model"}},
        {"source": {"shipped": "../other"}},
        {"files": {}},
        {"files": {"a.safetensors": "b" * 64, "b.safetensors": "b" * 64}},
    ],
)
def test_a_head_that_makes_no_sense_is_refused(change):
    with pytest.raises(ValueError, match=r"head|shipped|files"):
        catalogue({}, HEAD | change)
