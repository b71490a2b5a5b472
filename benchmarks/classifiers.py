"""``python -m benchmarks.classifiers``: full-size classifiers with random weights against transformers' pipelines.

The engine as replicas run it, without a server around it; both read the same 64 texts of mixed lengths on the same
threads. The pipelines run with the batch size that suits them best (their default is one text at a time). Random weights
compute as long as trained ones; the tokenizer is the starter model's, one token a word.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bare import as_in_replicas, rate, stored_model
from benchmarks.texts import Texts
from deployments.settings import DeploymentSettings, load_settings
from model_store.adoption import copy_file
from model_store.catalogue import Catalogue, FolderSource, Limits, ModelSpec
from model_store.sources import LocalFolder
from model_store.store import ModelStore
from model_store.stored_model import StoredModel

TEXTS, THREADS = 64, 2
LABELS = ("sport", "money", "weather")
BATCH_SIZES = (1, 32, TEXTS)
ARCHITECTURES = {
    "distilroberta": ("roberta", "classification", {"num_hidden_layers": 6}),
    "bert-base": ("bert", "classification", {}),
    "bart-large": (
        "bart",
        "zero-shot",
        {"d_model": 1024, "encoder_attention_heads": 16, "decoder_attention_heads": 16},
    ),
}


def main() -> None:
    """Make the models, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifiers", description=__doc__)
    parser.add_argument("--model", action="append", choices=ARCHITECTURES, help="repeatable; default: classifiers")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--texts", type=int, default=TEXTS)
    given = parser.parse_args()
    as_in_replicas()
    for name in given.model or ("distilroberta", "bert-base"):
        for what, value in measure(name, given.rounds, given.texts).items():
            print(f"{what}: {value}", flush=True)


def measure(name: str, rounds: int = 7, count: int = TEXTS) -> dict[str, float]:
    """Texts a second of the engine and of the pipeline's best batch size, and the median of the rounds' ratios."""
    settings = load_settings().model_copy(update={"threads": THREADS})
    supply = Texts(len(name))
    with _stored(name) as stored:
        ours, pipelines = _engine(stored, settings), _pipelines(stored)
        found: dict[str, list[float]] = {}
        # The first round warms up.
        for turn in range(rounds + 1):
            texts = supply.mixed(count)
            for what, work in {"engine": ours, **pipelines}.items():
                speed = rate(work, texts)
                found.setdefault(what, []).extend([speed] if turn else [])
    best = max(pipelines, key=lambda what: statistics.median(found[what]))
    ratios = [mine / theirs for mine, theirs in zip(found["engine"], found[best], strict=True)]
    speeds = {f"{name}, {what}, texts/s": round(statistics.median(rates), 1) for what, rates in found.items()}
    return {**speeds, f"{name}, engine / {best}": round(statistics.median(ratios), 2)}


def _engine(stored: StoredModel, settings: DeploymentSettings) -> Callable[[list[str]], Any]:
    from deployments.engines.encoders import load_encoder

    engine: Any = load_encoder(stored, settings)
    engine.warm()
    if stored.task == "classification":
        return engine.encode  # type: ignore[no-any-return]
    return lambda texts: engine.encode([{"text": text, "labels": list(LABELS)} for text in texts])


def _pipelines(stored: StoredModel) -> dict[str, Callable[[list[str]], Any]]:
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    kind = "text-classification" if stored.task == "classification" else "zero-shot-classification"
    reference = transformers.pipeline(kind, model=str(stored.files), device="cpu")
    options = {"top_k": None} if stored.task == "classification" else {"candidate_labels": list(LABELS)}

    def ask(size: int) -> Callable[[list[str]], Any]:
        return lambda texts: reference(texts, batch_size=size, **options)

    return {f"pipeline(batch_size={size})": ask(size) for size in BATCH_SIZES}


@contextmanager
def _stored(name: str) -> Iterator[StoredModel]:
    """The model, converted as a pulled one is, in a store of its own."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        spec = made(name, Path(folder))
        store = ModelStore(Path(folder) / "store", Catalogue(format=1, models=(spec,)))
        store.adopt(spec)
        yield store.open(name)


def made(name: str, folder: Path) -> ModelSpec:
    """The catalogue entry of a model whose files are written below ``folder``."""
    family, task, shape = ARCHITECTURES[name]
    source, copies = folder / name / "source", folder / name / "digested"
    source.mkdir(parents=True)
    _write_model(family, shape, source)
    return ModelSpec(
        key=name,
        id=f"bench/{name}",
        task=task,
        family=family,
        source=FolderSource(path=source),
        revision="0" * 40,
        licence="none",
        parameters=1,
        download_mb=1,
        limits=Limits(max_tokens=512),
        files={
            path.name: copy_file(LocalFolder(source), path.name, copies / path.name).sha256 for path in source.iterdir()
        },
    )


def _write_model(family: str, shape: dict[str, int], folder: Path) -> None:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(stored_model().files), local_files_only=True)
    config_class, model_class = {
        "roberta": (transformers.RobertaConfig, transformers.RobertaForSequenceClassification),
        "bert": (transformers.BertConfig, transformers.BertForSequenceClassification),
        "bart": (transformers.BartConfig, transformers.BartForSequenceClassification),
    }[family]
    torch.manual_seed(0)
    ends = {"eos_token_id": tokenizer.sep_token_id, "decoder_start_token_id": tokenizer.sep_token_id}
    config = config_class(
        **({"vocab_size": 50265, "max_position_embeddings": 1026} if family != "bert" else {}),
        **(ends if family == "bart" else {}),
        **shape,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=3 if family == "bart" else 7,
    )
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
