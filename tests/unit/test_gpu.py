"""The torch engines on a real GPU. Skipped, with the reason, where there is none; see CONTRIBUTING.md.

Everything else about GPUs is tested with a fake of ``deployments.engines.cuda``.
"""

import numpy as np
import pytest
import tiny_classifiers
import torch
from encoder_checks import TEXTS, around_the_limit, assert_texts_equal
from tiny_classifiers import classifier, entailed, nli, probabilities
from tiny_models import FAMILIES, WORDS, case
from tiny_models import settings as tiny_settings

from deployments.batching import BatchPolicy
from deployments.engines.cuda import TorchCuda
from deployments.engines.device import Device, choose_device
from deployments.engines.encoders import load_encoder
from deployments.errors import DoesNotFit, OutOfMemory
from deployments.host import EngineHost
from deployments.memory import CONTEXT, require_room
from deployments.wire import Call, Piece

pytestmark = pytest.mark.gpu


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


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
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


def test_the_share_holds_allocator_and_context(device):
    """What the process takes of the device, context included, as the driver counts it."""
    free, total = TorchCuda().memory()
    share = (2 * CONTEXT) / total + 0.01
    require_room(case("minilm").stored, Device("cuda", share))
    engine = load_encoder(case("minilm").stored, tiny_settings(), Device("cuda", share))
    engine.warm()
    engine.encode([" ".join(WORDS) + f" {n}" for n in range(500)])
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(int(share * total), dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_reserved() <= share * total - CONTEXT
    # The context was there before ``free`` was read; what came since is the allocator and the kernels it loaded.
    assert free - TorchCuda().memory()[0] <= share * total


def test_a_model_beyond_its_share_is_refused(device):
    _, total = TorchCuda().memory()
    with pytest.raises(DoesNotFit, match="its share of the GPU"):
        require_room(case("minilm").stored, Device("cuda", CONTEXT / total))


async def test_running_out_of_memory_fails_the_items_and_not_the_replica(device):
    engine = load_encoder(case("minilm").stored, tiny_settings(), device)
    runs, run = [], engine.run
    engine.run = lambda items: runs.append(len(items)) or run(items)
    host = EngineHost(engine, BatchPolicy(budget=16_384, padded=False), "a")
    await host.check()
    # Room for the weights, which are there, and for a short text.
    held, (_, total) = torch.cuda.memory_reserved(), TorchCuda().memory()
    TorchCuda().cap((held + 4 * 2**20) / total)
    texts = [" ".join(["word"] * 250) + f" {n}" for n in range(60)]
    crowded = await host.answer(Call("bulk", [Piece("r", texts, {}, 60.0)]))
    assert {type(error) for error in crowded.pieces[0].errors.values()} <= {OutOfMemory}
    assert runs[1:] == [60, *[1] * 60], "the batch, then each item alone"
    await host.check()
    TorchCuda().cap(1.0)
    answered = await host.answer(Call("bulk", [Piece("r", texts, {}, 60.0)]))
    assert not answered.pieces[0].errors
    assert np.isfinite(np.stack(list(answered.pieces[0].values))).all()
    await host.close()
