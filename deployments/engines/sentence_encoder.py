"""SentenceTransformer itself, for models with modules or families that the other engines do not compute."""

from collections.abc import Sequence
from contextlib import nullcontext
from hashlib import blake2b
from typing import Any

import numpy as np

from deployments.cpu_gate import CpuGate
from deployments.engines.base import Description, Prepared
from deployments.engines.pooling import Floats
from deployments.errors import ContextLengthExceeded, EngineFault, InvalidInput
from deployments.settings import DeploymentSettings
from model_store.stored_model import StoredModel

PROBE = "Muster puts every model on duty."


class SentenceEncoder:
    """An ``Engine`` around ``SentenceTransformer.encode``. Truncates at the end only, as that class does."""

    def __init__(self, stored: StoredModel, settings: DeploymentSettings, device: str = "cpu") -> None:
        self.stored = stored
        self._settings = settings
        self._device = device
        self._model: Any = None
        self._limit = 0
        self._prompt = ""
        self._counts = False
        self._gate: Any = nullcontext()

    def load(self) -> None:
        """Read the weights; no code from the model's folder runs."""
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers import PreTrainedTokenizerBase

        self._model = SentenceTransformer(
            str(self.stored.files),
            device=self._device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
        self._prompt = self._model.prompts.get(self._model.default_prompt_name or "", "")
        # Word lists and static embeddings have tokenizers of other kinds, and no limit.
        self._counts = isinstance(self._model.tokenizer, PreTrainedTokenizerBase)
        if self._counts:
            self._model.tokenizer.split_special_tokens = True
            self._limit = int(self._model.max_seq_length or 0)
        if self._device == "cpu":
            torch.set_num_threads(self._settings.threads)
            self._gate = CpuGate(self._settings.gate_dir, self._settings.gate_slots)

    def warm(self) -> None:
        """Two passes over one text. Raises ``EngineFault`` when they differ."""
        first, second = self.encode([PROBE]), self.encode([PROBE])
        if not np.abs(first - second).max() <= 1e-5:
            raise EngineFault(f"{self.stored.key} gave two answers to one text.")

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """Count tokens. Option ``truncate``: ``error`` (default) or ``end``."""
        truncate = options.get("truncate", "error")
        if truncate not in ("error", "end"):
            return [InvalidInput(f"{self.stored.key} knows error and end only.", "truncate") for _ in inputs]
        return [self._prepare(text, truncate) for text in inputs]

    def run(self, items: Sequence[Prepared]) -> Sequence[Floats]:
        """One embedding per item, in order. Raises ``EngineFault`` for a number that is not finite."""
        with self._gate:
            vectors = self._model.encode([item.payload for item in items], show_progress_bar=False)
        if not np.isfinite(vectors).all():
            raise EngineFault(f"{self.stored.key} computed a number that is not finite.")
        return list(np.asarray(vectors, dtype=np.float32))

    def encode(self, texts: Sequence[str]) -> Floats:
        """(texts, dimensions), cut at the end where too long."""
        return np.stack(self.run([Prepared(text, 1) for text in texts]))

    def describe(self) -> Description:
        limits = {"max_tokens": self._limit} if self._limit else {}
        details = {"dimensions": int(self._model.get_embedding_dimension())}
        return Description(
            self.stored.key, self.stored.revision, f"sentence-transformers-{self._device}", limits, details
        )

    def _prepare(self, text: Any, truncate: str) -> Prepared | Exception:
        if not isinstance(text, str):
            return InvalidInput("It must be a text.")
        try:
            encoded = text.encode()
        except UnicodeError:
            return InvalidInput("It is not valid Unicode text.")
        tokens = self._count(text)
        too_long = bool(self._limit) and tokens > self._limit
        if too_long and truncate == "error":
            return ContextLengthExceeded(
                f"The text has {tokens} tokens; {self.stored.key} reads at most {self._limit}."
            )
        kept = self._limit if too_long else tokens
        report = {"tokens": tokens, "kept": kept} if too_long else None
        return Prepared(text, max(1, kept), blake2b(encoded, digest_size=16).digest(), report)

    def _count(self, text: str) -> int:
        if not self._counts:
            return 1 + len(text) // 4
        return len(self._model.tokenizer(self._prompt + text, truncation=False, verbose=False)["input_ids"])
