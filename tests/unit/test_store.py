"""The store: adoption is all or nothing, and nothing that was tampered with opens."""

import hashlib
import json
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock
from tiny_models import spec_of

from model_store import convert
from model_store.catalogue import Catalogue, PackageSource, load_catalogue
from model_store.errors import (
    ConversionFailed,
    ModelNotPulled,
    SourceUnavailable,
    StoreBusy,
    TamperedModel,
    UnknownModel,
    UntrustedArtefact,
)
from model_store.settings import StoreSettings, load_settings
from model_store.sources import InstalledPackage, LocalFolder
from model_store.store import ModelStore


def weights(note: str) -> str:
    """A safetensors file whose one tensor is a short text; texts of equal length give files of equal length."""
    header = json.dumps({"note": {"dtype": "U8", "shape": [len(note)], "data_offsets": [0, len(note)]}})
    return struct.pack("<Q", len(header)).decode("ascii") + header + note


FILES = {
    "config.json": json.dumps({"model_type": "bert"}),
    "modules.json": json.dumps([{"path": "", "type": "sentence_transformers.models.Transformer"}]),
    "1_Pooling/config.json": "{}",
    "model.safetensors": weights("old"),
}


def converter(files: Path, target: Path, task: str, progress) -> None:
    progress("converting")
    (target / "encoder.onnx").write_bytes((files / "model.safetensors").read_bytes()[::-1])
    (target / "encoder.json").write_text("{}")


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "source"


@pytest.fixture
def spec(folder):
    return spec_of(folder, "toy")


@pytest.fixture
def store(tmp_path, spec):
    return ModelStore(tmp_path / "store", Catalogue(format=1, models=(spec,)), converter)


def artefact(store: ModelStore, name: str) -> Path:
    return store.open("toy").artefact_dir() / name


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_adoption_copies_locks_and_converts(store, spec, folder):
    messages: list[str] = []
    path = store.adopt(spec, messages.append)
    stored = store.open("toy")
    assert stored.folder == path == store.path("toy")
    assert (stored.files / "1_Pooling/config.json").read_text() == "{}"
    assert artefact(store, "encoder.onnx").is_file()
    assert (stored.id, stored.revision) == (spec.id, spec.revision)
    assert store.ls() == ["toy"]
    assert messages == [
        *[f"toy: copying {name}" for name in spec.files],
        "toy: converting",
        "toy: in the store",
    ]
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["format_version"] == 1
    assert manifest["files"]["files/model.safetensors"]["sha256"] == digest


def test_stored_files_are_plain_read_only_files(store, spec):
    path = store.adopt(spec)
    files = [entry for entry in path.rglob("*") if not entry.is_dir()]
    assert {entry.stat().st_mode & 0o777 for entry in files} == {0o444}
    assert not any(entry.is_symlink() for entry in files)


def test_a_second_adoption_does_nothing(store, spec):
    path = store.adopt(spec)
    before = (path / "manifest.json").stat()
    messages: list[str] = []
    store.adopt(spec, messages.append)
    assert messages == []
    assert (path / "manifest.json").stat().st_ino == before.st_ino


def test_verification_counts_every_file(store, spec):
    store.adopt(spec)
    verification = store.verify("toy")
    assert verification.ok
    assert verification.checked == len(FILES) + 2


@pytest.mark.parametrize("name", ["files/model.safetensors", "files/1_Pooling/config.json"])
def test_one_changed_byte_refuses_to_open_and_names_the_file(store, spec, name):
    path = store.adopt(spec) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    rewrite(path, bytes(content))
    assert store.verify("toy").mismatches == (name,)
    with pytest.raises(TamperedModel, match=f"refuses to serve: {name}") as caught:
        store.open("toy")
    assert (caught.value.key, caught.value.file) == ("toy", name)


def test_a_changed_artefact_refuses_to_open(store, spec):
    store.adopt(spec)
    path = artefact(store, "encoder.onnx")
    rewrite(path, b"other graph")
    with pytest.raises(TamperedModel, match=r"artefacts/\w+/encoder\.onnx"):
        store.open("toy")


def test_a_missing_file_refuses_to_open(store, spec):
    (store.adopt(spec) / "files/config.json").unlink()
    assert store.verify("toy").missing == ("files/config.json",)
    with pytest.raises(TamperedModel, match=r"files/config\.json: it is missing"):
        store.open("toy")


def test_an_added_file_refuses_to_open(store, spec):
    path = store.adopt(spec)
    (path / "files/modeling.py").write_text("print()")
    assert store.verify("toy").extra == ("files/modeling.py",)
    with pytest.raises(TamperedModel, match=r"modeling\.py: it is not in the lock"):
        store.open("toy")


def test_a_symbolic_link_with_the_right_content_refuses_to_open(store, spec, folder):
    path = store.adopt(spec) / "files/config.json"
    path.unlink()
    path.symlink_to(folder / "config.json")
    with pytest.raises(TamperedModel, match=r"config\.json: it is missing, or is not a plain file"):
        store.open("toy")


def test_a_linked_folder_refuses_to_open(store, spec, tmp_path):
    path = store.adopt(spec)
    (path / "files").rename(tmp_path / "elsewhere")
    (path / "files").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TamperedModel, match="files: it is not in the lock"):
        store.open("toy")


def test_a_manifest_rewritten_with_the_file_differs_from_the_catalogue(store, spec):
    path = store.adopt(spec)
    rewrite(path / "files/config.json", b"{}")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["files/config.json"] = {"sha256": hashlib.sha256(b"{}").hexdigest(), "size": 2}
    rewrite(path / "manifest.json", json.dumps(manifest).encode())
    with pytest.raises(TamperedModel, match=r"manifest\.json: it is not what the catalogue says"):
        store.open("toy")


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"format_version": 2}'])
def test_a_broken_manifest_refuses_to_open(store, spec, content):
    path = store.adopt(spec)
    rewrite(path / "manifest.json", content)
    with pytest.raises(TamperedModel, match=r"manifest\.json"):
        store.open("toy")


def test_adopting_over_a_tampered_model_says_so_and_removing_it_heals(store, spec):
    path = store.adopt(spec)
    rewrite(path / "files/config.json", b"{ }")
    with pytest.raises(TamperedModel, match=r"Remove it and adopt it again"):
        store.adopt(spec)
    store.remove("toy")
    assert store.ls() == []
    store.adopt(spec)
    assert store.verify("toy").ok


def test_a_source_that_differs_from_the_lock_leaves_nothing(store, spec, folder, tmp_path):
    (folder / "config.json").write_text("{}")
    with pytest.raises(TamperedModel, match=r"config\.json: its sha256 at the source"):
        store.adopt(spec)
    assert_nothing_left(store, tmp_path)


def test_a_source_without_the_file_leaves_nothing(store, spec, folder, tmp_path):
    (folder / "modules.json").unlink()
    with pytest.raises(SourceUnavailable, match=r"modules\.json"):
        store.adopt(spec)
    assert_nothing_left(store, tmp_path)


def test_a_failed_conversion_leaves_nothing(tmp_path, spec):
    def fail(files: Path, target: Path, task: str, progress) -> None:
        (target / "half.onnx").write_bytes(b"half")
        raise ConversionFailed("no")

    store = ModelStore(tmp_path / "store", Catalogue(format=1, models=(spec,)), fail)
    with pytest.raises(ConversionFailed):
        store.adopt(spec)
    assert_nothing_left(store, tmp_path)


def assert_nothing_left(store: ModelStore, tmp_path: Path) -> None:
    assert store.ls() == []
    assert list((tmp_path / "store/models").iterdir()) == []
    with pytest.raises(ModelNotPulled):
        store.open("toy")


def test_an_adoption_killed_half_way_leaves_nothing_that_opens(store, spec, tmp_path):
    code = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from tiny_models import spec_of
        from model_store.store import ModelStore

        def hang(files, target, task, progress):
            (target / "half.onnx").write_bytes(b"half")
            print("half", flush=True)
            time.sleep(60)

        spec = spec_of(Path({str(tmp_path / "source")!r}), "toy")
        ModelStore(Path({str(tmp_path / "store")!r}), converter=hang).adopt(spec)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"half\n"
        child.send_signal(signal.SIGKILL)
    leftovers = list((tmp_path / "store/models").iterdir())
    assert [entry.stat().st_mode & 0o777 for entry in leftovers] == [0o700]
    assert store.ls() == []
    store.adopt(spec)
    assert [entry.name for entry in (tmp_path / "store/models").iterdir()] == ["toy"]


def test_a_new_revision_replaces_the_old_one(store, spec, folder, tmp_path):
    store.adopt(spec)
    (folder / "model.safetensors").write_text(weights("new"))
    newer = spec_of(folder, "toy").model_copy(update={"revision": "c" * 40})
    again = ModelStore(tmp_path / "store", Catalogue(format=1, models=(newer,)), converter)
    again.adopt(newer)
    assert again.open("toy").revision == "c" * 40
    assert [entry.name for entry in (tmp_path / "store/models").iterdir()] == ["toy"]


def test_another_runtime_proves_the_graph_again_without_the_source(store, spec, folder, monkeypatch):
    store.adopt(spec)
    first = store.open("toy")
    (folder / "config.json").unlink()
    monkeypatch.setattr(convert, "runtime", lambda: "onnxruntime 99")
    with pytest.raises(ConversionFailed, match="not proved with onnxruntime 99"):
        first.artefact_dir()
    store.adopt(spec)
    second = store.open("toy")
    assert second.artefact.id != first.artefact.id
    assert second.artefact_dir().is_dir()
    assert store.verify("toy").ok


def test_another_recipe_makes_the_graph_again(store, spec, monkeypatch):
    store.adopt(spec)
    first = store.open("toy")
    monkeypatch.setattr(convert, "RECIPE", "99")
    with pytest.raises(ConversionFailed, match="another release"):
        first.artefact_dir()
    store.adopt(spec)
    assert store.open("toy").artefact_dir().is_dir()


def test_the_task_comes_from_the_catalogue_and_another_one_makes_the_graph_again(store, spec, tmp_path):
    store.adopt(spec)
    assert store.open("toy").task == "embedding"
    other = spec.model_copy(update={"task": "classification", "dimensions": None})
    store.adopt(other)
    assert store.open("toy").task == "classification"


def test_a_classifier_with_another_number_of_labels_than_the_catalogue_is_refused(folder, tmp_path):
    config = {"model_type": "bert", "id2label": {"0": "a", "1": "b", "2": "c"}}
    (folder / "config.json").write_text(json.dumps(config))
    common = {"task": "classification", "dimensions": None}
    spec = spec_of(folder, "toy").model_copy(update={**common, "labels": ("bad", "good")})
    store = ModelStore(tmp_path / "store", Catalogue(format=1, models=(spec,)), converter)
    with pytest.raises(UntrustedArtefact, match="it has 3 labels where the catalogue has 2"):
        store.adopt(spec)
    assert store.ls() == []
    # Names may differ; the model's own decide.
    spec = spec.model_copy(update={"labels": ("x", "y", "z")})
    store.adopt(spec)
    assert store.open("toy").task == "classification"


def test_a_family_that_is_not_converted_has_no_artefact(store, folder, tmp_path):
    (folder / "config.json").write_text('{"model_type": "t5"}')
    spec = spec_of(folder, "toy")
    store = ModelStore(tmp_path / "store", Catalogue(format=1, models=(spec,)), converter)
    store.adopt(spec)
    store.adopt(spec)
    assert store.open("toy").artefact is None
    with pytest.raises(ConversionFailed, match="no exported graph"):
        store.open("toy").artefact_dir()


def test_a_busy_store_says_so(tmp_path, spec):
    store = ModelStore(tmp_path / "store", Catalogue(format=1, models=(spec,)), converter, lock_timeout_s=0.05)
    (tmp_path / "store").mkdir()
    with FileLock(tmp_path / "store/store.lock"), pytest.raises(StoreBusy):
        store.adopt(spec)


def test_names_never_leave_the_store(store):
    for key in ("", ".", "..", "../toy", "a/b", ".staging-x"):
        with pytest.raises(UnknownModel):
            store.path(key)
    with pytest.raises(ModelNotPulled):
        store.path("toy")


def test_an_empty_store_lists_nothing(tmp_path):
    assert ModelStore(tmp_path / "none").ls() == []


def test_sources_refuse_links_and_folders(folder):
    (folder / "link.json").symlink_to(folder / "config.json")
    for name in ("link.json", "1_Pooling", "none.json"):
        with pytest.raises(SourceUnavailable):
            LocalFolder(folder).open(name)


def test_an_installed_package_is_read_and_not_imported():
    source = load_catalogue().resolve("embedding").source
    assert isinstance(source, PackageSource)
    with InstalledPackage(source.package, source.folder).open("config.json") as handle:
        assert json.load(handle)["model_type"] == "bert"
    assert source.folder.split("/")[0] not in sys.modules
    with pytest.raises(SourceUnavailable, match="not installed"):
        InstalledPackage("no-such-package-anywhere", "x")


def test_home_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path))
    settings = load_settings()
    assert settings.store_dir == tmp_path / "store"
    assert settings.skills_dir == tmp_path / "store/skills"
    assert settings.logs_dir == tmp_path / "logs"
    monkeypatch.delenv("MUSTER_HOME")
    assert StoreSettings().home == Path(__file__).parents[2] / ".muster"
