"""Encoders of full size with random weights: our engine in fp16 and fp32 against transformers in fp16, padded."""

import copy
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.texts import WORDS, Texts
from deployments.engines.packed_encoder import PADDED, PackedEncoder, pass_tokens
from deployments.engines.pooling import normalize
from deployments.settings import DeploymentSettings
from model_store import convert
from model_store.lock import Artefact, Precision
from model_store.stored_model import StoredModel

if TYPE_CHECKING:
    from benchmarks.gpu import Bench

MIXED, LONG = "mixed", "long"
TOKENS = {MIXED: 65_536, LONG: 65_536}
"""Of one measured call: one to four passes of a replica's size."""
CHECKED = 4
"""Texts that the CPU computes too."""


@dataclass(frozen=True)
class Shape:
    """``config``: of transformers' class; ``layers``, ``width``, ``inner``: of its transformer, for counting."""

    family: str
    task: str
    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    max_tokens: int = 512

    def flops(self, lengths: Sequence[int]) -> float:
        """Floating-point operations of one pass over texts of these lengths, without padding."""
        dense = self.layers * (8 * self.width**2 + 4 * self.width * self.inner) * sum(lengths)
        attention = self.layers * 4 * self.width * sum(length**2 for length in lengths)
        if self.family != "bart":
            return float(dense + attention)
        # A decoder as deep reads the same tokens, its own and the encoder's: 8 width^2 and the scores once more.
        return float(2 * dense + 3 * attention + self.layers * 8 * self.width**2 * sum(lengths))

    def shrunk(self) -> "Shape":
        return Shape(self.family, self.task, 64, 2, 4, 128, 512, self.max_tokens)


SHAPES = {
    "minilm-l6": Shape("bert", "embedding", 384, 6, 12, 1536, 30_522),
    "distilroberta-base": Shape("roberta", "classification", 768, 6, 12, 3072, 50_265),
    "bert-base": Shape("bert", "embedding", 768, 12, 12, 3072, 30_522),
    "e5-large (xlm-r)": Shape("xlm-roberta", "embedding", 1024, 24, 16, 4096, 250_002),
    "mpnet-base": Shape("mpnet", "embedding", 768, 12, 12, 3072, 30_527),
    "bart-large-mnli": Shape("bart", "classification", 1024, 12, 16, 4096, 50_265),
}


class RandomEncoder(PackedEncoder):
    """The engine as replicas run it, with weights made where it computes, or those of ``like``, another one."""

    def __init__(
        self, shape: Shape, folder: Path, precision: Precision, device: str, like: "RandomEncoder | None" = None
    ) -> None:
        settings = DeploymentSettings(threads=1, gate_dir=folder / "gate")
        super().__init__(_stored(shape, folder, precision), settings, device)
        self._shape, self._like = shape, like

    def _read_weights(self, attention: str, dtype: Any) -> Any:
        if self._like:
            return self._like.copied(attention, self._device).to(dtype)
        return build(self._shape, attention, self._device).to(dtype)

    def copied(self, attention: str, device: str) -> Any:
        """Its model once more."""
        model = copy.deepcopy(self._model).to(device)
        if model.config._attn_implementation != attention:
            model.set_attn_implementation(attention)
        return model

    def windows(self, texts: Sequence[str]) -> list[Any]:
        """Token ids as the engine reads them."""
        return [item.payload[0] for item in self.prepare(texts, {"truncate": "end"})]  # type: ignore[union-attr]

    def rows(self, windows: Sequence[Any], budget: int | None = None) -> Any:
        """A call's rows; ``budget``: tokens of a pass, if not a replica's."""
        self.budget = budget or pass_tokens(self._kind, self._shape.width)
        return self._rows(windows)


def build(shape: Shape, attention: str, device: str) -> Any:
    """A model of transformers', float32, in evaluation mode."""
    import torch
    import transformers

    loader = transformers.AutoModel if shape.task == "embedding" else transformers.AutoModelForSequenceClassification
    torch.manual_seed(0)
    with torch.device(device):
        model = loader.from_config(_config(shape), attn_implementation=attention, dtype=torch.float32)
    return model.eval().requires_grad_(False)


def measure(bench: "Bench", until_s: float) -> None:
    """Every shape with both kinds of texts, as long as there is time."""
    for name, shape in SHAPES.items():
        if bench.elapsed() > until_s:
            bench.record("encoders", name, "no time left")
            continue
        with tempfile.TemporaryDirectory(prefix="muster-gpu-") as folder:
            _measure(bench, name, shape.shrunk() if bench.tiny else shape, Path(folder), until_s)
        bench.free()


def _measure(bench: "Bench", name: str, shape: Shape, folder: Path, until_s: float) -> None:
    exact = RandomEncoder(shape, folder, "fp32", bench.device)
    exact.load()
    half = RandomEncoder(shape, folder, "fp16", bench.device, exact)
    half.load()
    reference = exact.copied(PADDED.get(shape.family, "sdpa"), bench.device).half()
    bench.record("differences", name, _differences(bench, shape, folder, exact, half))
    works: dict[str, Callable[[Sequence[Any]], Any]] = {
        "fp16": half.rows,
        "fp16, one pass": lambda windows: half.rows(windows, 1 << 20),
        "fp32": exact.rows,
        "transformers fp16, 32 a batch": lambda windows: padded(reference, shape, windows, 32),
        "transformers fp16, 64 sorted": lambda windows: padded(reference, shape, windows, 64, sort=True),
    }
    for kind in (MIXED, LONG):
        windows = half.windows(_texts(bench, kind))
        lengths = [len(window) for window in windows]
        full = min(sum(lengths), pass_tokens(half._kind, shape.width))
        first = next(place for place in range(len(windows)) if sum(lengths[: place + 1]) >= full)
        found = {"texts": len(lengths), "tokens": sum(lengths), "TFLOP": round(shape.flops(lengths) / 1e12, 6)}
        for what, work in works.items():
            if bench.elapsed() > until_s and what != "fp16":
                continue
            spent = bench.seconds(lambda work=work, windows=windows: work(windows))  # type: ignore[misc]
            found |= {f"{what}, tokens/s": round(sum(lengths) / spent), f"{what}, s": round(spent, 5)}
        spent = bench.seconds(lambda windows=windows, first=first: half.rows(windows[: first + 1]))  # type: ignore[misc]
        found["fp16, a replica's batch, tokens/s"] = round(sum(lengths[: first + 1]) / spent)
        spent = bench.seconds(lambda windows=windows: half.rows(windows[:1]))  # type: ignore[misc]
        found["fp16, one text, ms"] = round(1e3 * spent, 3)
        bench.record("encoders", f"{name}, {kind}", found)


def _differences(bench: "Bench", shape: Shape, folder: Path, exact: RandomEncoder, half: RandomEncoder) -> Any:
    """Largest difference to the same weights in fp32 on the CPU, of directions or of logits."""
    cpu = RandomEncoder(shape, folder, "fp32", "cpu", exact)
    cpu.load()
    texts = Texts(3).mixed(CHECKED)
    found = [engine.rows(engine.windows(texts)) for engine in (cpu, exact, half)]
    alone = np.concatenate([half.rows(half.windows([text])) for text in texts])
    as_compared = normalize if shape.task == "embedding" else np.asarray
    wanted, *others = [as_compared(rows) for rows in (*found, alone)]
    gaps = [float(np.abs(rows - wanted).max()) for rows in others]
    gaps.append(float(np.abs(others[1] - others[2]).max()))
    names = ("fp32", "fp16", "fp16 one by one", "fp16 together and one by one")
    return {what: float(f"{gap:.2e}") for what, gap in zip(names, gaps, strict=True)}


def padded(model: Any, shape: Shape, windows: Sequence[Any], size: int, *, sort: bool = False) -> Any:
    """transformers as it is commonly used: so many texts a batch, padded to the longest, means or logits fetched."""
    import torch

    order = sorted(range(len(windows)), key=lambda place: -len(windows[place])) if sort else range(len(windows))
    rows = []
    for start in range(0, len(order), size):
        batch = [windows[place] for place in order[start : start + size]]
        lengths = torch.tensor([len(window) for window in batch])
        ids = torch.ones((len(batch), int(lengths.max())), dtype=torch.int64)
        for row, window in zip(ids, batch, strict=True):
            row[: len(window)] = torch.from_numpy(window)
        device = model.device
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long().to(device)
        with torch.inference_mode():
            output = model(input_ids=ids.to(device), attention_mask=mask)
            if shape.task == "embedding":
                states = output.last_hidden_state.float() * mask[:, :, None]
                rows.append((states.sum(1) / mask.sum(1, keepdim=True)).cpu())
            else:
                rows.append(output.logits.float().cpu())
    return torch.cat(rows)


def _texts(bench: "Bench", kind: str) -> list[str]:
    tokens = 600 if bench.tiny else TOKENS[kind]
    if kind == MIXED:
        return Texts(7).mixed(tokens // 59)
    words = random.Random(7)
    return [" ".join(words.choices(WORDS, k=510)) for _ in range(tokens // 512)]


def _config(shape: Shape) -> Any:
    import transformers

    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "vocab_size": shape.vocabulary}
    labels = {"num_labels": 3} if shape.task == "classification" else {}
    if shape.family == "bart":
        sides = {
            f"{side}_{name}": value
            for side in ("encoder", "decoder")
            for name, value in (("layers", shape.layers), ("attention_heads", shape.heads), ("ffn_dim", shape.inner))
        }
        ends = {"decoder_start_token_id": 2, "max_position_embeddings": shape.max_tokens + 2}
        return transformers.BartConfig(**ids, **labels, **sides, **ends, d_model=shape.width)
    deep = {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.inner,
        "max_position_embeddings": shape.max_tokens + 2,
    }
    return transformers.AutoConfig.for_model(shape.family, **ids, **labels, **deep)


def _stored(shape: Shape, folder: Path, precision: Precision) -> StoredModel:
    """What an engine reads beside the weights; a word is a token, and words are spread over the vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    files, artefact = folder / "files", folder / "artefact"
    (files / "1_Pooling").mkdir(parents=True, exist_ok=True)
    artefact.mkdir(exist_ok=True)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (files / "modules.json").write_text(json.dumps(modules))
    (files / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    words = list(dict.fromkeys(WORDS))
    stride = (shape.vocabulary - 4) // len(words)
    known = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3} | {word: 4 + stride * n for n, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(artefact / "tokenizer.json"))
    facts = {
        "family": shape.family,
        "max_tokens": shape.max_tokens,
        "position_offset": 2 if "roberta" in shape.family else 0,
        "pad_id": 1,
        "prompt": "",
        "dimensions": shape.width if shape.task == "embedding" else 3,
        "golden": [],
        "max_abs_diff": 0.0,
        "labels": ["a", "b", "c"],
    }
    (artefact / "encoder.json").write_text(json.dumps(facts))
    made = {"recipe": convert.RECIPE, "runtime": convert.runtime(), "task": shape.task}
    return StoredModel(
        "random", "random", "0" * 40, folder, Artefact(id="0", folder="artefact", made_with=made), precision
    )
