"""Light heads: they share their base model's pass, reach the accuracy that is claimed, and can be trained again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_models import case
from tiny_models import settings as tiny_settings

from deployments.batching import BatchPolicy
from deployments.engines import light_head
from deployments.engines.light_head import LightHead
from deployments.engines.onnx_encoder import OnnxEncoder
from deployments.engines.packed_encoder import PackedEncoder
from deployments.errors import EngineFault, InvalidInput, ModelNotReady
from deployments.heads.goemotions import read_texts
from deployments.heads.train import HEADS, measure, train_head, train_heads
from deployments.host import EngineHost
from deployments.label_sets import canonical, polarity
from deployments.wire import Call, Piece
from model_store.catalogue import load_catalogue
from model_store.errors import SourceUnavailable, TamperedModel
from model_store.light_heads import head_address, read_head, verify_head

SHIPPED = [spec for spec in load_catalogue().models if spec.head_of]
DATA = Path(__file__).parents[3] / "shared/data/goemotions"
FLOORS = {"minilm-emotion": (0.61, 0.48), "minilm-sentiment": (0.63, 0.56)}
LONG = "muster every model of the engine " * 20


def tensors(dimensions: int, labels: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"hidden.weight": (8, dimensions), "hidden.bias": (8,), "output.weight": (labels, 8)}
    return {
        name: random.standard_normal(shape).astype(np.float16)
        for name, shape in (shapes | {"output.bias": (labels,)}).items()
    }


def toy_spec(key: str, labels: int):
    names = tuple(f"label {number}" for number in range(labels))
    return SHIPPED[0].model_copy(update={"key": key, "labels": names, "head_of": "tiny-bert"})


@pytest.fixture
def heads(monkeypatch):
    """Two toy heads, ``three`` and ``two``, on the toy embedding model; addresses by key."""
    from safetensors.numpy import save

    specs = {"three": toy_spec("three", 3), "two": toy_spec("two", 2)}
    files = {key: save(tensors(32, len(spec.labels), len(key))) for key, spec in specs.items()}
    monkeypatch.setattr(light_head, "read_head", lambda spec: files[spec.key])
    return specs


def address(spec) -> str:
    return head_address(spec.key, spec.revision)


def engine_with(heads, backend=OnnxEncoder):
    engine = backend(replace(case("bert").stored, heads=tuple(heads.values())), tiny_settings())
    engine.load()
    return engine


def answers(engine, texts, spec, truncate="end") -> np.ndarray:
    items = engine.prepare(texts, {"truncate": truncate, "head": address(spec)})
    return np.stack([item.finish(value) for item, value in zip(items, engine.run(items), strict=True)])


def test_it_equals_the_same_layers_in_torch():
    import torch

    of = tensors(12, 5)
    layers = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5), torch.nn.Softmax(1))
    names = ("0.weight", "0.bias", "2.weight", "2.bias")
    layers.load_state_dict({n: torch.from_numpy(of[m].astype(np.float32)) for n, m in zip(names, of, strict=True)})
    embeddings = np.random.default_rng(1).standard_normal((20, 12)).astype(np.float32)
    found, wanted = LightHead(of)(embeddings), layers(torch.from_numpy(embeddings)).detach().numpy()
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-6
    assert np.abs(np.stack([LightHead(of)(row) for row in embeddings]) - wanted).max() < 1e-6


@pytest.mark.parametrize("broken", [{"hidden.bias": np.full(8, np.nan, np.float16)}, {"extra": np.zeros(1)}])
def test_what_is_no_head_is_refused(broken):
    with pytest.raises(EngineFault):
        LightHead(tensors(12, 5) | broken)


@pytest.mark.parametrize("backend", [OnnxEncoder, PackedEncoder])
@pytest.mark.parametrize("truncate", ["end", "window"])
def test_batched_equals_alone_and_the_head_on_the_embedding(heads, backend, truncate):
    engine, texts = engine_with(heads, backend), ["duty", "a model of duty", LONG, "", "inspect the engine"]
    found = answers(engine, texts, heads["three"], truncate)
    alone = np.concatenate([answers(engine, [text], heads["three"], truncate) for text in texts])
    assert found.shape == (5, 3)
    assert np.abs(found - alone).max() < 1e-5
    wanted = LightHead(tensors(32, 3, len("three")))(engine.encode(texts, truncate))
    assert np.abs(found - wanted).max() < 1e-6
    assert found.std(axis=0).max() > 0.01, "the toy answers the same to every text"


async def test_an_embedding_and_two_heads_of_a_text_cost_one_pass(heads, monkeypatch):
    engine = engine_with(heads)
    windows, forward = [], engine._forward
    monkeypatch.setattr(engine, "_forward", lambda batch: windows.append(len(batch)) or forward(batch))
    options = [{}, {"head": address(heads["three"])}, {"head": address(heads["two"])}]
    pieces = [Piece(f"r{n}", ["a model", "duty"], each, 30.0) for n, each in enumerate(options)]
    host = EngineHost(engine, BatchPolicy(), "ok")
    try:
        reply = await host.answer(Call("interactive", pieces))
    finally:
        await host.close()
    assert sum(windows) == 2, "each text is computed once"
    embeddings, three, two = (np.asarray(piece.values) for piece in reply.pieces)
    assert (embeddings.shape, three.shape, two.shape) == ((2, 32), (2, 3), (2, 2))
    assert np.abs(three - LightHead(tensors(32, 3, len("three")))(embeddings)).max() < 1e-6
    assert np.abs(two - LightHead(tensors(32, 2, len("two")))(embeddings)).max() < 1e-6


def test_an_embedding_comes_with_what_its_heads_say(heads):
    engine, texts = engine_with(heads), ["a model", LONG]
    wanted = [address(heads[name]) for name in ("two", "three")]
    items = engine.prepare(texts, {"truncate": "window", "heads": wanted})
    found = np.stack([item.finish(row) for item, row in zip(items, engine.run(items), strict=True)])
    embeddings, two, three = np.split(found, [32, 34], axis=1)
    assert np.array_equal(embeddings, engine.encode(texts, "window"))
    assert np.array_equal(two, answers(engine, texts, heads["two"], "window"))
    assert np.array_equal(three, answers(engine, texts, heads["three"], "window"))
    (refused,) = engine.prepare(["a"], {"heads": [*wanted, head_address("three", "0" * 40)]})
    assert isinstance(refused, ModelNotReady)


@pytest.mark.parametrize("reason", ["tampered", "missing", "of another model"])
async def test_a_head_that_does_not_fit_is_left_out_and_its_base_serves(heads, monkeypatch, reason):
    def read(spec):
        if reason == "of another model":
            from safetensors.numpy import save

            return save(tensors(16, 3))
        raise TamperedModel(spec.key, "f", "it differs") if reason == "tampered" else SourceUnavailable("gone")

    monkeypatch.setattr(light_head, "read_head", read)
    engine = engine_with(heads)
    host = EngineHost(engine, BatchPolicy(), "ok")
    pieces = [Piece("r1", ["a"], {"head": address(heads["three"])}, 30.0), Piece("r2", ["a"], {}, 30.0)]
    try:
        headed, plain = (await host.answer(Call("interactive", pieces))).pieces
    finally:
        await host.close()
    assert isinstance(headed.errors[0], ModelNotReady)
    assert not plain.errors


def test_a_head_of_another_revision_is_not_taken_for_it(heads):
    (outcome,) = engine_with(heads).prepare(["a"], {"head": head_address("three", "0" * 40)})
    assert isinstance(outcome, ModelNotReady)


def test_a_stored_model_knows_its_heads():
    assert [spec.key for spec in case("minilm").stored.heads] == list(HEADS) == [spec.key for spec in SHIPPED]
    assert case("bert").stored.heads == ()


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.key)
def test_the_shipped_files_are_what_the_catalogue_says(spec):
    assert verify_head(spec).ok
    base = load_catalogue().host_of(spec)
    assert LightHead.read(read_head(spec)).shape == (base.dimensions, len(spec.labels))
    assert spec.parameters == sum(tensor.size for tensor in load(read_head(spec)).values())
    other = spec.model_copy(update={"files": dict.fromkeys(spec.files, "0" * 64)})
    assert verify_head(other).mismatches == tuple(spec.files)
    with pytest.raises(TamperedModel, match="install Muster again"):
        read_head(other)
    gone = spec.model_copy(update={"files": {"gone.safetensors": "0" * 64}})
    assert verify_head(gone).missing == ("gone.safetensors",)


def load(content: bytes):
    from safetensors.numpy import load

    return load(content)


def test_ambiguous_is_neutral():
    (sentiment,) = (spec for spec in SHIPPED if "sentiment" in spec.roles)
    scores = np.float32([[0.4, 0.3, 0.2, 0.1]])
    assert canonical("sentiment", sentiment.labels, scores)[0] == pytest.approx([0.3, 0.6, 0.1])
    assert polarity(sentiment.labels, scores)[0] == pytest.approx(-0.2)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs {DATA}")
@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.key)
def test_the_shipped_heads_reach_their_floors_on_the_development_set(spec, development):
    dev = read_texts(DATA, HEADS[spec.key], "dev")
    assert dev.labels == spec.labels
    figures = measure(read_head(spec), development(dev.texts), dev)
    accuracy, macro_f1 = FLOORS[spec.key]
    assert figures["accuracy"] >= accuracy
    assert figures["macro_f1"] >= macro_f1


@pytest.fixture(scope="module")
def development():
    """Embeddings of the development texts, computed once, by the engine that serves."""
    engine, known = OnnxEncoder(case("minilm").stored, tiny_settings()), {}
    engine.load()

    def embed(texts):
        if texts not in known:
            known[texts] = engine.encode(texts, "window")
        return known[texts]

    return embed


def write_data(folder: Path, rows: int = 400) -> None:
    """Texts that name their label; every tenth has two labels."""
    for name, labels in (("ekman", ("calm", "cross", "glad")), ("group", ("bad", "good"))):
        (folder / f"{name}-labels.txt").write_text("\n".join(labels) + "\n")
        for split in ("train", "dev"):
            numbers = [(row % len(labels), (row + 1) % len(labels)) for row in range(rows)]
            given = [f"{a},{b}" if row % 10 == 0 else f"{a}" for row, (a, b) in enumerate(numbers)]
            lines = [f"{split} {row} {number}\t{number}\tid{row}" for row, number in enumerate(given)]
            (folder / f"{name}-{split}.tsv").write_text("\n".join(lines) + "\n")


def embed_words(texts) -> np.ndarray:
    """The label's number and some noise."""
    random = np.random.default_rng(3)
    base = np.stack([np.eye(4)[int(text.split()[-1].split(",")[0])] for text in texts])
    return (base + random.normal(0, 0.2, base.shape)).astype(np.float32)


def test_training_is_reproducible_and_learns(tmp_path):
    write_data(tmp_path)
    first, again = (train_heads(tmp_path, embed_words, 42, lambda message: None) for _ in range(2))
    assert [head.key for head in first] == list(HEADS)
    assert [head.sha256 for head in first] == [head.sha256 for head in again]
    assert all(head.figures["accuracy"] > 0.95 and head.figures["macro_f1"] > 0.95 for head in first)
    other = train_heads(tmp_path, embed_words, 7, lambda message: None)
    assert first[0].sha256 != other[0].sha256


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs {DATA}")
def test_training_on_a_small_slice_beats_guessing(development):
    train = read_texts(DATA, "group", "train")
    part = replace(train, texts=train.texts[:600], targets=train.targets[:600])
    vectors = development(part.texts)
    figures = measure(train_head(vectors[:500], part.targets[:500], 42), vectors[500:], _rows(part, 500))
    assert figures["accuracy"] > 0.45


def _rows(part, start):
    return replace(part, texts=part.texts[start:], targets=part.targets[start:])


def test_figures_are_those_of_their_definition():
    # Three labels; the third is never named: precision and recall 0.
    targets = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    picks = {
        "hidden.weight": np.eye(3),
        "hidden.bias": np.zeros(3),
        "output.weight": np.eye(3),
        "output.bias": [0, 0, 0],
    }
    from safetensors.numpy import save

    from deployments.heads.goemotions import LabelledTexts

    content = save({name: np.asarray(value, dtype=np.float16) for name, value in picks.items()})
    seen = np.eye(3, dtype=np.float32)[[0, 1, 1, 1]]
    figures = measure(content, seen, LabelledTexts(("a", "b", "c"), ("",) * 4, targets))
    assert figures == {"accuracy": 0.5, "macro_f1": pytest.approx((2 / 3 + 0.5 + 0) / 3)}


@pytest.mark.parametrize("line", ["no tabs", "text\tx\tid", "text\t9\tid", "text\t-1\tid"])
def test_files_of_another_kind_are_refused(tmp_path, line):
    write_data(tmp_path)
    (tmp_path / "ekman-dev.tsv").write_text(f"good\t0\tid\n{line}\n")
    with pytest.raises(InvalidInput, match="Line 2 of ekman-dev"):
        read_texts(tmp_path, "ekman", "dev")
    with pytest.raises(InvalidInput, match="no GoEmotions files"):
        read_texts(tmp_path / "other", "ekman", "dev")
