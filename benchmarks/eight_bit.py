"""``python -m benchmarks.eight_bit``: 8 bits against fp32, the bare engines taking turns on the same texts; and what
accuracy pays for it, by the gate's own figures.

all-MiniLM-L6-v2 with its real weights, judged by STS-B where that lies beside the checkout, and a model of bert-base's
size with weights drawn at random, for speed alone. The folder of the models is one of its own.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bare import KEY, as_in_replicas, rate, scratch_home, single_ms
from benchmarks.prove import STSB
from benchmarks.texts import Texts
from deployments.engines.encoders import load_encoder
from deployments.quantization import quantize
from deployments.settings import load_settings
from model_store.catalogue import Catalogue, FolderSource, Limits, ModelSpec, load_catalogue
from model_store.folder import content_revision
from model_store.gate import Gate
from model_store.lock import digest_file
from model_store.settings import load_settings as load_store_settings
from model_store.store import ModelStore

ROUNDS = 7
COUNTS = {"short": 1024, "mixed": 256}
BASE = "bert-base-size"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eight_bit", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    as_in_replicas()
    with scratch_home():
        for name, value in measure(rounds).items():
            print(f"{name}: {value}")


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Figures by name."""
    store = ModelStore(load_store_settings().store_dir)
    store.adopt(load_catalogue().resolve(KEY))
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        pairs, name = judge(Path(folder))
        gate = _judged(store, KEY, pairs)
        figures: dict[str, Any] = {f"{KEY}, accuracy gate, {name}": _told(gate)}
        if gate.passed:
            figures |= _side_by_side(store, rounds)
        figures |= _base_size(Path(folder), pairs)
    return figures


def judge(folder: Path) -> tuple[Path, str]:
    """The pairs that judge embeddings, and their name: STS-B where it lies beside the checkout, else some of our own."""
    return (STSB, "STS-B dev") if STSB else (_pairs(folder / "pairs.csv"), "pairs rated by equal words")


def _judged(store: ModelStore, key: str, pairs: Path) -> Gate:
    return quantize(store, key, pairs, load_settings(), lambda line: None)


def _told(gate: Gate) -> str:
    verdict = "passed" if gate.passed else "FAILED"
    return (
        f"{verdict}: {gate.metric} {gate.before:.5f} -> {gate.after:.5f}, drop {gate.drop_points:.3f} points "
        f"of {gate.allowed_points:g} allowed; mean cosine {gate.mean_cosine:.4f}"
    )


def _side_by_side(store: ModelStore, rounds: int) -> dict[str, Any]:
    """Medians over rounds in which both engines take turns on distinct texts."""
    exact: Any = load_encoder(store.open(KEY), load_settings())
    eight: Any = load_encoder(store.open(KEY, "int8"), load_settings())
    supply, rates, ones = Texts(83), {kind: list[tuple[float, float]]() for kind in COUNTS}, list[tuple[float, float]]()
    for engine in (exact, eight):
        engine.encode(supply.mixed(64))
    for _ in range(rounds):
        for kind, count in COUNTS.items():
            texts = supply.make(kind, count)
            rates[kind].append((rate(exact.encode, texts), rate(eight.encode, texts)))
        short = supply.short(100)
        ones.append((single_ms(exact.encode, short), single_ms(eight.encode, short)))
    figures = dict[str, Any]()
    for kind, found in rates.items():
        figures |= _compared(f"{KEY}, {kind} texts, texts/s", found)
        figures[f"{KEY}, {kind} texts, int8 / fp32"] = _ratio([(theirs, ours) for ours, theirs in found])
    figures |= _compared(f"{KEY}, one short text, ms", ones)
    figures[f"{KEY}, one short text, fp32 / int8"] = _ratio(ones)
    memory = [store.process_bytes(KEY, "fp32"), store.process_bytes(KEY, "int8")]
    return figures | {f"{KEY}, memory of a process, MiB": _pair(*(count / 2**20 for count in memory if count))}


def _compared(name: str, found: list[tuple[float, float]]) -> dict[str, str]:
    return {name: _pair(*(statistics.median(column) for column in zip(*found, strict=True)))}


def _pair(exact: float, eight: float) -> str:
    return f"fp32 {exact:.2f}, int8 {eight:.2f}"


def _ratio(found: list[tuple[float, float]]) -> str:
    ratios = [ours / theirs for ours, theirs in found]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _base_size(folder: Path, pairs: Path) -> dict[str, str]:
    """Speed alone: a model of chance ranks by chance, so what it loses says nothing."""
    spec = _random_model(folder / BASE)
    store = ModelStore(folder / "store", Catalogue(format=1, models=(spec,)))
    store.adopt(spec)
    speed = _judged(store, BASE, pairs).speed
    return {f"{BASE}, {name.replace('_', ' ')}, fp32 / int8": f"{ratio:.2f}" for name, ratio in speed.items()}


def _random_model(folder: Path) -> ModelSpec:
    """bert-base's shape, MiniLM's tokenizer, weights drawn at random; and its catalogue entry."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    base = folder.with_name("transformer")
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig()).save_pretrained(base)
    files = ModelStore(load_store_settings().store_dir).path(KEY) / "files"
    transformers.AutoTokenizer.from_pretrained(files, local_files_only=True).save_pretrained(base)
    body = modules.Transformer(str(base), max_seq_length=256)
    SentenceTransformer(modules=[body, modules.Pooling(768, "mean"), modules.Normalize()], device="cpu").save(
        str(folder)
    )
    found = {path.relative_to(folder).as_posix(): digest_file(path) for path in folder.rglob("*") if path.is_file()}
    digests = {name: digest for name, digest in found.items() if digest is not None}
    return ModelSpec(
        key=BASE,
        id=f"bench/{BASE}",
        task="embedding",
        family="bert",
        source=FolderSource(path=folder),
        revision=content_revision(digests),
        licence="Apache-2.0",
        parameters=110_000_000,
        download_mb=440,
        dimensions=768,
        limits=Limits(max_tokens=256),
        files={name: digest.sha256 for name, digest in digests.items()},
    )


def _pairs(path: Path, count: int = 1000) -> Path:
    """Pairs rated by the share of words that both have."""
    supply = Texts(89)
    rows = []
    for first, second in zip(supply.short(count), supply.short(count), strict=True):
        ours, theirs = set(first.split()), set(second.split())
        rows.append(f"{first},{second},{len(ours & theirs) / len(ours | theirs):.4f}")
    path.write_text("\n".join(rows))
    return path


if __name__ == "__main__":
    main()
