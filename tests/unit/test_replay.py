"""Steps of fixed shapes, as a GPU records them, give the tokens of steps of growing ones. Here they run unrecorded."""

import pytest
import torch

from deployments.engines.generating import replay
from deployments.engines.generating.batch import Batch, Bounds
from deployments.engines.generating.grouped_attention import ATTENTION, grouped_attention
from deployments.engines.generating.network import CausalNetwork
from deployments.generation import GenerationRequest
from tests.unit.tiny_generators import TEXTS, engine, expected

DECODERS = ("dialogpt-small", "mistral-7b-instruct", "phi-2")
BOUNDS = Bounds(rows=8, portion=256, tokens=1 << 20)


@pytest.fixture
def steps(monkeypatch):
    """How many rows each step of fixed shapes had."""
    monkeypatch.setattr(replay, "PATIENCE", 1)
    counts, run = [], replay._Step.run
    monkeypatch.setattr(replay._Step, "run", lambda step, tokens: counts.append(step._count) or run(step, tokens))
    return counts


def replaying(key, bounds=BOUNDS):
    generator = engine(key)
    generator._network = CausalNetwork(generator._model, "cpu", replays=True)
    generator.batch = Batch(generator._network, bounds)
    return generator


def start(generator, text, tokens, **more):
    generation = generator.read(GenerationRequest(text, max_tokens=tokens, **{"temperature": 0, **more}))
    generator.batch.add(generation)
    return generation


def finish(generator):
    while len(generator.batch):
        generator.step()


@pytest.mark.parametrize("key", DECODERS)
def test_greedy_answers_equal_the_reference(key, steps):
    generator = replaying(key)
    generations = [start(generator, text, 40) for text in TEXTS]
    finish(generator)
    assert [generation.out for generation in generations] == [expected(key, text, 40) for text in TEXTS]
    assert max(steps) == 4
    assert len(steps) > 20


@pytest.mark.parametrize("key", DECODERS)
def test_who_joins_and_leaves_changes_nobodys_answer(key, steps):
    """Lengths from 2 to 150: the tensors grow in both directions, and rows change places."""
    generator, generations = replaying(key, Bounds(rows=5, portion=7, tokens=1 << 20)), []
    asked = [(text, 2 + 37 * number % 150) for number, text in enumerate(TEXTS * 3)]
    for text, tokens in asked:
        generations.append(start(generator, text, tokens))
        for _ in range(9):
            generator.step()
    finish(generator)
    assert [generation.out for generation in generations] == [expected(key, *each) for each in asked]
    assert len(set(steps)) > 2


def test_what_is_drawn_by_a_seed_is_the_same(steps):
    plain, generator = engine("phi-2"), replaying("phi-2")
    found = []
    for each in (plain, generator):
        generation = start(each, TEXTS[0], 30, temperature=0.9, top_p=0.8, seed=3)
        finish(each)
        found.append(generation.out)
    assert found[0] == found[1]


def test_a_step_that_cannot_be_recorded_runs_as_it_is(steps, monkeypatch, caplog):
    def record(*args):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(replay, "_Step", record)
    generator = replaying("phi-2")
    generation = start(generator, TEXTS[0], 24)
    finish(generator)
    assert generation.out == expected("phi-2", TEXTS[0], 24)
    assert [record.getMessage() for record in caplog.records if record.name == "ray.serve.muster"] == [
        "A step cannot be recorded as a CUDA graph (RuntimeError)."
    ]


@pytest.mark.parametrize("masked", [False, True])
def test_heads_that_share_keys_attend_as_if_each_had_its_own(masked):
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, heads, tokens, 16) for heads, tokens in ((8, 1), (2, 11), (2, 11)))
    mask = (torch.rand(3, 1, 1, 11) > 0.3).float().log() if masked else None
    found, _ = grouped_attention(None, query, key, value, mask, scaling=0.3)
    repeated = [tensor.repeat_interleave(4, dim=1) for tensor in (key, value)]
    wanted = torch.nn.functional.scaled_dot_product_attention(query, *repeated, attn_mask=mask, scale=0.3)
    assert (found - wanted.transpose(1, 2)).abs().max() <= 1e-6


def test_a_model_with_such_heads_uses_it():
    assert engine("mistral-7b-instruct")._model.config._attn_implementation == ATTENTION
    assert engine("phi-2")._model.config._attn_implementation == "sdpa"
