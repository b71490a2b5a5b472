"""The engine of models that write: GPT-2, Mistral, Phi, BART, T5, all in one way.

The step loop is our own, over the model's ``forward``. transformers' ``ContinuousBatchingManager`` knows decoders only, and
neither seeds, penalties nor stop strings of a single request; here every kind of model shares a batch that generations
join and leave between steps, with greedy answers that equal ``model.generate``.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from deployments.cpu_gate import CpuGate
from deployments.engines.base import Description
from deployments.engines.cuda import TorchCuda
from deployments.engines.device import CPU, Device
from deployments.engines.generating.batch import Batch, Bounds
from deployments.engines.generating.generation import Generation
from deployments.engines.generating.network import CausalNetwork, Network, Prefill, Seq2SeqNetwork
from deployments.engines.generating.prompts import Limits, Prompt, PromptReader
from deployments.engines.generating.sampling import Rules
from deployments.errors import EngineFault
from deployments.generation import GenerationRequest
from deployments.memory import half, share_bytes
from deployments.settings import DeploymentSettings
from model_store.footprint import CPU_KV_MB
from model_store.prove import NEW_TOKENS, golden_input
from model_store.stored_model import StoredModel

TASKS = ("generation", "seq2seq")
ROWS = {"cpu": 32, "cuda": 128}
"""Generations that run at a time."""
PORTION = {"cpu": 256, "cuda": 4096}
"""Prompt tokens of one step: what a step may take longer because of a newcomer."""
GPU_KV_PART = 0.6
"""Of a GPU share beside the weights, for keys and values; prompts on their way and logits have the rest."""
NO_LIMIT_KNOWN = 512
"""Tokens for a model that names no limit (T5 was trained with this one)."""


class Generator:
    """A loaded model and its batch. ``read`` belongs to one thread, ``step`` to another; ``batch.add`` to any."""

    def __init__(self, stored: StoredModel, settings: DeploymentSettings, device: Device = CPU) -> None:
        self.stored = stored
        self.batch: Batch
        self._settings, self._device, self._share = settings, device.kind, device.share
        self._half = half(stored.task, device)
        self._gate: Any = nullcontext()

    def load(self) -> None:
        """Read the weights, fp32, and bf16 for decoders on a GPU; no code from the model's folder runs."""
        import torch

        from model_store.loading import load_model, load_tokenizer

        if self._device == "cpu":
            torch.set_num_threads(self._settings.threads)
            self._gate = CpuGate(self._settings.gate_dir, self._settings.gate_slots)
        model = load_model(self.stored.files, self.stored.task, half=self._half).to(self._device)
        self._model, self._tokenizer = model, load_tokenizer(self.stored.files)
        self._seq2seq = bool(model.config.is_encoder_decoder)
        self._start = int(model.generation_config.decoder_start_token_id) if self._seq2seq else None
        self._rules = Rules(model.generation_config)
        self._network: Network = (Seq2SeqNetwork if self._seq2seq else CausalNetwork)(model, self._device)
        columns = self._columns()
        context = min(_positions(model, self._tokenizer), columns)
        default = _default(model.generation_config, self._seq2seq)
        self._limits = Limits(context, not self._seq2seq, default, self._tokenizer.eos_token_id)
        self._reader = PromptReader(self._tokenizer, self._limits, self.stored.key)
        self.batch = Batch(self._network, Bounds(ROWS[self._device], PORTION[self._device], columns))

    def warm(self) -> None:
        """Write the golden continuations, alone and together. Raises ``EngineFault`` when a token moved."""
        assert self.stored.artefact is not None
        golden = json.loads((self.stored.folder / self.stored.artefact.folder / "golden.json").read_bytes())
        prompts = [
            golden_input(self._model, self._tokenizer, text)["input_ids"][0].tolist() for text in golden["inputs"]
        ]
        expected = [[int(token) for token in tokens] for tokens in golden["outputs"]]
        found = [self._continue([prompt])[0] for prompt in prompts], self._continue(prompts)
        # Chosen in fp32; in 16 bits another token may win.
        if not self._half and any(answers != expected for answers in found):
            raise EngineFault(f"A golden answer of {self.stored.key} moved.")

    @property
    def rows(self) -> int:
        """Generations that run at a time."""
        return ROWS[self._device]

    def read(self, request: GenerationRequest) -> Generation:
        """Tokenise and check. Raises ``InvalidInput``, ``ContextLengthExceeded``."""
        prompt = self._reader.read(request)
        return self._generation(request, prompt)

    def step(self) -> None:
        """One step of the batch, behind the node's gate."""
        import torch

        with self._gate, torch.inference_mode():
            self.batch.step()

    def describe(self) -> Description:
        limits = {"max_tokens": self._limits.context}
        return Description(self.stored.key, self.stored.revision, f"torch-{self._device}", limits, {})

    def _generation(self, request: GenerationRequest, prompt: Prompt) -> Generation:
        return Generation(request, prompt, self._rules, self._tokenizer.backend_tokenizer, self._start)

    def _continue(self, prompts: Sequence[list[int]]) -> list[list[int]]:
        """Golden answers as ``model_store.prove`` records them, the decoder's whole sequence."""
        request = GenerationRequest("", max_tokens=NEW_TOKENS, temperature=0)
        generations = [self._generation(request, Prompt(prompt, NEW_TOKENS)) for prompt in prompts]
        for generation in generations:
            self.batch.add(generation)
        while self.batch:
            self.step()
        for generation in generations:
            generation.take("")
        return [[*(each.source if self._start is None else [self._start]), *each.out] for each in generations]

    def _columns(self) -> int:
        """Tokens whose keys and values fit into the memory for them."""
        import torch

        probe = Prefill([Generation(GenerationRequest(""), Prompt([0], 1), self._rules, None, self._start)])
        with self._gate, torch.inference_mode():
            self._network.prefill(probe, 1)
        layers = getattr(probe.cache, "self_attention_cache", probe.cache).layers
        return int(max(1, self._kv_bytes() // sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)))

    def _kv_bytes(self) -> int:
        """The setting, else a fixed amount of RAM, or most of what the weights have left of a GPU's share."""
        if self._settings.kv_mb or self._device == "cpu":
            return (self._settings.kv_mb or CPU_KV_MB) * 2**20
        import torch

        left = share_bytes(self._share, TorchCuda().memory()[1]) - torch.cuda.memory_allocated()
        return int(left * GPU_KV_PART)


def _positions(model: Any, tokenizer: Any) -> int:
    """Tokens that the model has positions for."""
    known = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
    # A tokenizer that knows no limit names an astronomic one.
    return int(min(known or NO_LIMIT_KNOWN, tokenizer.model_max_length))


def _default(config: Any, seq2seq: bool) -> int | None:
    """Tokens of an answer that nobody bounded, as the model's author has it."""
    if config.max_new_tokens:
        return int(config.max_new_tokens)
    return int(config.max_length) - 1 if seq2seq and config.max_length else None
