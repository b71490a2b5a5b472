"""Generation at full size with random weights: our step loop against the copy rate of the chip and against ``generate``."""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.engines.generating.batch import Batch, Bounds
from deployments.engines.generating.generation import Generation
from deployments.engines.generating.network import CausalNetwork, Prefill, Seq2SeqNetwork
from deployments.engines.generating.prompts import Prompt
from deployments.engines.generating.replay import PATIENCE
from deployments.engines.generating.sampling import Rules
from deployments.engines.generator import PORTION
from deployments.generation import GenerationRequest

if TYPE_CHECKING:
    from benchmarks.gpu import Bench

PROMPT, STEPS = 128, 32
"""Tokens of every prompt; steps that are measured, one token a row each."""


@dataclass(frozen=True)
class Kind:
    """``config``: (class, arguments); ``rows``: generations at a time."""

    config: tuple[str, dict[str, Any]]
    rows: tuple[int, ...]
    seq2seq: bool = False


KINDS = {
    "mistral-7b": Kind(("MistralConfig", {"sliding_window": None}), (1, 16, 64, 128)),
    "dialogpt-medium": Kind(("GPT2Config", {"n_layer": 24, "n_embd": 1024, "n_head": 16}), (1, 16, 64, 128)),
    "phi-2": Kind(
        (
            "PhiConfig",
            {
                "hidden_size": 2560,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "intermediate_size": 10240,
                "vocab_size": 51200,
                "partial_rotary_factor": 0.4,
            },
        ),
        (1, 16, 64, 128),
    ),
    "bart-large-cnn": Kind(("BartConfig", {}), (16,), seq2seq=True),
    "flan-t5-large": Kind(
        (
            "T5Config",
            {
                "d_model": 1024,
                "d_kv": 64,
                "d_ff": 2816,
                "num_layers": 24,
                "num_heads": 16,
                "feed_forward_proj": "gated-gelu",
            },
        ),
        (16,),
        seq2seq=True,
    ),
}
TOYS: dict[str, dict[str, Any]] = {
    "MistralConfig": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
    },
    "GPT2Config": {"n_layer": 2, "n_embd": 64, "n_head": 4},
    "PhiConfig": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96},
    "BartConfig": {
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 96,
        "decoder_ffn_dim": 96,
    },
    "T5Config": {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4},
}


def measure(bench: "Bench", until_s: float) -> None:
    """Every kind, as long as there is time."""
    for name, kind in KINDS.items():
        if bench.elapsed() > until_s:
            bench.record("generation", name, "no time left")
            continue
        model = build(kind, bench)
        vocabulary = _tokenizer(model.config.vocab_size)
        for rows in (2,) if bench.tiny else kind.rows:
            if bench.elapsed() > until_s:
                bench.record("generation", f"{name}, {rows} rows", "no time left")
                continue
            bench.record("generation", f"{name}, {rows} rows", _measured(bench, kind, model, vocabulary, rows))
        if not kind.seq2seq:
            bench.record("prefill", name, _prefill(bench, model, vocabulary))
        del model
        bench.free()


def build(kind: Kind, bench: "Bench") -> Any:
    """A model of transformers', made on the device: bf16, as decoders are served on a GPU; encoder-decoders fp32."""
    import torch
    import transformers

    name, options = kind.config
    toy = {**TOYS[name], "vocab_size": 512} if bench.tiny else {}
    config = getattr(transformers, name)(**{**options, **toy})
    loader = transformers.AutoModelForSeq2SeqLM if kind.seq2seq else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    with torch.device(bench.device):
        dtype = torch.float32 if kind.seq2seq else torch.bfloat16
        model = loader.from_config(config, attn_implementation="sdpa" if name != "T5Config" else "eager", dtype=dtype)
    if kind.seq2seq:
        model.generation_config.decoder_start_token_id = 2
    return model.eval().requires_grad_(False)


def _measured(bench: "Bench", kind: Kind, model: Any, vocabulary: Any, rows: int) -> dict[str, Any]:
    """One batch size: milliseconds of a step, tokens a second, the same by the chip's copy rate, and of ``generate``."""
    network = Seq2SeqNetwork(model, bench.device) if kind.seq2seq else CausalNetwork(model, bench.device, replays=True)
    step_s = _step_seconds(bench, network, vocabulary, rows, kind.seq2seq)
    width = network.width
    cache = sum(layer.keys.nbytes + layer.values.nbytes for layer in network.rows.cache.layers)
    found: dict[str, Any] = {"step, ms": round(1e3 * step_s, 3), "tokens/s": round(rows / step_s, 1)}
    if not kind.seq2seq:
        network.clear()
        drawn_s = _step_seconds(bench, network, vocabulary, rows, kind.seq2seq, temperature=0.9, top_p=0.9)
        network.clear()
        plain_s = _step_seconds(
            bench, CausalNetwork(model, bench.device, replays=False), vocabulary, rows, kind.seq2seq
        )
        found |= {"step of sampled rows, ms": round(1e3 * drawn_s, 3), "unrecorded step, ms": round(1e3 * plain_s, 3)}
        # A copy reads and writes; a step only reads.
        floor_s = (_weight_bytes(model) + cache) / (bench.figures["ceilings"]["copy TB/s"] * 1e12)
        found |= {
            "columns": width,
            "copy rate's step, ms": round(1e3 * floor_s, 3),
            "of it": round(floor_s / step_s, 3),
        }
    network.clear()
    reference_s = _generate_seconds(bench, model, rows)
    return found | {
        "generate's step, ms": round(1e3 * reference_s, 3),
        "times generate": round(reference_s / step_s, 2),
    }


def _step_seconds(
    bench: "Bench", network: Any, vocabulary: Any, rows: int, seq2seq: bool, temperature: float = 0, top_p: float = 1
) -> float:
    import torch

    batch = Batch(network, Bounds(rows, PORTION["cuda"], 1 << 40))
    for number in range(rows):
        batch.add(_generation(vocabulary, number, seq2seq, temperature, top_p))
    with torch.inference_mode():
        while len(batch._running) < rows:
            batch.step()
        steps = 4 if bench.tiny else STEPS
        for _ in range(PATIENCE + 4):
            batch.step()
        return bench_steps(bench, batch.step, steps)


def bench_steps(bench: "Bench", step: Callable[[], None], steps: int) -> float:
    """Seconds of a step, the median."""
    times = []
    for _ in range(steps):
        bench.wait()
        started = time.perf_counter()
        step()
        bench.wait()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _generation(vocabulary: Any, number: int, seq2seq: bool, temperature: float = 0, top_p: float = 1) -> Generation:
    from transformers import GenerationConfig

    ids = random.Random(number).choices(range(10, 500), k=PROMPT)
    request = GenerationRequest("", max_tokens=1 << 20, temperature=temperature, top_p=top_p, seed=number)
    return Generation(request, Prompt(ids, 1 << 20), Rules(GenerationConfig()), vocabulary, 2 if seq2seq else None)


def _generate_seconds(bench: "Bench", model: Any, rows: int) -> float:
    """Seconds of one token of transformers' ``generate`` for as many rows, its prompts' pass taken off."""
    import torch

    ids = torch.randint(10, 500, (rows, PROMPT), device=bench.device)
    steps = 4 if bench.tiny else STEPS
    model.generation_config.eos_token_id = None

    def write(tokens: int) -> None:
        with torch.inference_mode():
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=1,
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                pad_token_id=0,
            )

    ours = model.config._attn_implementation
    model.set_attn_implementation("eager" if model.config.model_type == "t5" else "sdpa")
    write(2)
    short, long = (bench_steps(bench, lambda tokens=tokens: write(tokens), 1) for tokens in (1, 1 + steps))  # type: ignore[misc]
    model.set_attn_implementation(ours)
    return (long - short) / steps


def _prefill(bench: "Bench", model: Any, vocabulary: Any) -> dict[str, Any]:
    """A portion of prompts as a step of a replica on a GPU computes it."""
    import torch

    count = 2 if bench.tiny else PORTION["cuda"] // PROMPT
    network = CausalNetwork(model, bench.device)
    members = [_generation(vocabulary, number, False) for number in range(count)]

    def work() -> None:
        with torch.inference_mode():
            network.prefill(Prefill(members), PORTION["cuda"])

    spent = bench.seconds(work)
    operations = 2 * _multiplied(model) * count * PROMPT
    peak = bench.figures["ceilings"]["bfloat16 TFLOP/s"] * 1e12
    return {"tokens/s": round(count * PROMPT / spent), "of the product's rate": round(operations / spent / peak, 3)}


def _multiplied(model: Any) -> int:
    """Weights that every token of a prompt is multiplied with: neither embeddings nor the last layer's vocabulary."""
    outside = {id(each) for each in (model.get_input_embeddings().weight, model.get_output_embeddings().weight)}
    return sum(weight.numel() for weight in model.parameters() if id(weight) not in outside and weight.dim() > 1)


def _weight_bytes(model: Any) -> int:
    """All that one step reads: of embeddings that are not the output's too only some rows."""
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    everything = sum(weight.nbytes for weight in model.parameters())
    return int(everything if tied else everything - model.get_input_embeddings().weight.nbytes)


def _tokenizer(size: int) -> Any:
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({f"w{number}": number for number in range(size)}, unk_token="w0"))
