"""``python -m benchmarks.generation``: sixteen generations together against one after another, and first tokens.

A full-size GPT-2 with random weights (``--layers`` and ``--width`` make it smaller), in this process, behind a CPU gate of
its own. Ratios are the point; the seconds are this machine's.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bare import as_in_replicas
from benchmarks.writing_model import prompt, write_gpt2
from deployments.engines.generator import Generator
from deployments.generation import GenerationRequest
from deployments.generator_host import GeneratorHost
from deployments.settings import load_settings
from model_store.lock import Artefact
from model_store.stored_model import StoredModel

LENGTHS = [16 + 8 * (number * 7 % 16) for number in range(16)]
"""Tokens of the sixteen answers: 16 to 136, mixed up."""
SHORT_PROMPTS = 60
SHARE = 0.5
"""Of the time of one after another, that sixteen together may take."""


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    as_in_replicas()
    print(json.dumps(measure(options.rounds, options.layers, options.width, reference=True), indent=1))


def measure(rounds: int = 1, layers: int = 12, width: int = 768, *, reference: bool = False) -> dict[str, Any]:
    """Figures of a generator in this process; ``reference``: transformers' ``generate`` on the same prompts too."""
    with tempfile.TemporaryDirectory(prefix="muster-generation-") as folder:
        stored = build(Path(folder), layers, width)
        settings = load_settings().model_copy(update={"gate_dir": Path(folder) / "gate"})
        generator = Generator(stored, settings)
        generator.load()
        return asyncio.run(_measure(generator, rounds, reference))


def build(folder: Path, layers: int, width: int) -> StoredModel:
    """A GPT-2 of DialoGPT-small's shape."""
    write_gpt2(folder / "files", layers, width)
    artefact = Artefact(id="none", folder="none", made_with={"task": "generation"})
    return StoredModel("gpt2", "gpt2", "0" * 40, folder, artefact)


async def _measure(generator: Generator, turns: int, compare: bool) -> dict[str, Any]:
    """Seconds of both ways, their ratio; milliseconds to the first token of short prompts, alone and beside a long one."""
    host = GeneratorHost(generator)
    requests = [request(8 + 3 * number, length, number) for number, length in enumerate(LENGTHS)]
    await collect(host, requests[0])
    rounds = []
    for _ in range(turns):
        together = await seconds(asyncio.gather(*(collect(host, each) for each in requests)))
        one_by_one = await seconds(in_turn(host, requests))
        rounds.append((together, one_by_one))
    reference = await asyncio.to_thread(generate_in_turn, generator, requests) if compare else None
    alone = [await first_token(host, number) for number in range(SHORT_PROMPTS)]
    beside = await beside_long_prompts(host)
    await host.close()
    shares = [together / one_by_one for together, one_by_one in rounds]
    return {
        "16 together, s": round(statistics.median(each[0] for each in rounds), 2),
        "16 one after another, s": round(statistics.median(each[1] for each in rounds), 2),
        **({} if reference is None else {"model.generate one after another, s": round(reference, 2)}),
        f"together / one after another, median and most (<= {SHARE})": [
            round(statistics.median(shares), 2),
            round(max(shares), 2),
        ],
        "tokens a second together": round(sum(LENGTHS) / statistics.median(each[0] for each in rounds), 1),
        "first token of a short prompt alone, p50 and p99 ms": quantiles(alone),
        "the same while long prompts are computed, p50 and p99 ms": quantiles(beside),
        "a whole prompt of 900 tokens, ms": round(await_long(generator), 1),
    }


def request(words: int, tokens: int, seed: int) -> GenerationRequest:
    """A prompt of that many tokens and an answer of exactly that many."""
    return GenerationRequest(prompt(words, seed), max_tokens=tokens, min_tokens=tokens, temperature=0)


async def collect(host: GeneratorHost, wanted: GenerationRequest) -> None:
    async for _ in host.generate(wanted, 600.0):
        pass


async def in_turn(host: GeneratorHost, requests: list[GenerationRequest]) -> None:
    for each in requests:
        await collect(host, each)


async def seconds(work: Any) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


def generate_in_turn(generator: Generator, requests: list[GenerationRequest]) -> float:
    """Seconds of transformers' own ``generate`` for the same tokens."""
    import torch

    torch.set_num_threads(load_settings().threads)
    started = time.perf_counter()
    for each in requests:
        ids = torch.tensor([generator.read(each).source])
        options = {"do_sample": False, "max_new_tokens": each.max_tokens, "min_new_tokens": each.max_tokens}
        with torch.inference_mode():
            generator._model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **options)
    return time.perf_counter() - started


async def first_token(host: GeneratorHost, number: int) -> float:
    """Milliseconds to the first token of a prompt of a dozen tokens."""
    started = time.perf_counter()
    stream = host.generate(request(12, 2, number), 600.0)
    await anext(stream)
    elapsed = (time.perf_counter() - started) * 1e3
    await stream.aclose()
    return elapsed


async def beside_long_prompts(host: GeneratorHost) -> list[float]:
    """The same while prompts of 900 tokens come one after the other."""
    over = False

    async def keep_busy() -> None:
        number = 0
        while not over:
            number += 1
            await collect(host, request(900, 4, 1000 + number))

    busy = asyncio.ensure_future(keep_busy())
    found = []
    for number in range(SHORT_PROMPTS):
        await asyncio.sleep(0.05 * (number % 5))
        found.append(await first_token(host, number))
    over = True
    await busy
    return found


def await_long(generator: Generator) -> float:
    """Milliseconds of one pass over 900 tokens: what a short prompt would wait for without pieces."""
    import torch

    ids = torch.tensor([generator.read(request(900, 4, 1)).source])
    started = time.perf_counter()
    with torch.inference_mode():
        generator._model(ids, logits_to_keep=1)
    return (time.perf_counter() - started) * 1e3


def quantiles(values: list[float]) -> list[float]:
    """The median and the 99th percentile."""
    return [round(statistics.median(values), 1), round(sorted(values)[int(0.99 * (len(values) - 1) + 0.5)], 1)]


if __name__ == "__main__":
    main()
