"""Embeddings of the same files by several servers: all are up, and while one is measured the others are at rest.

All get the same texts, distinct throughout, from the same load generator; Muster and infinity-emb answer in base64, as
the `openai` SDK asks them to. Muster is there twice: in fp32, and as its plan sets it up on this machine, in 8 bits where
the accuracy gate passed. The floors are those of the planned one.
"""

import asyncio
import contextlib
import itertools
import shutil
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare import reference, stored_model
from benchmarks.checks.verdict import Verdict
from benchmarks.load import post_all
from benchmarks.peer_environments import environment
from benchmarks.peer_servers import Contender, at_rest, infinity, muster, plain_fastapi
from benchmarks.planned import Planned, planned
from benchmarks.server import Server
from benchmarks.texts import MIXED, SHORT, Texts

EXACT, PLANNED = "Muster, fp32", "Muster, planned"
TORCH, ONNX, PLAIN = "infinity-emb, torch", "infinity-emb, optimum", "FastAPI + sentence-transformers"
ONE, MANY_SHORT, MANY_MIXED = "1 a request x 64 clients, short", "64 x 4, short", "64 x 4, mixed"
PEERS = (TORCH, ONNX, PLAIN)
WORKLOADS = {ONE: (SHORT, 1, 64), MANY_SHORT: (SHORT, 64, 4), MANY_MIXED: (MIXED, 64, 4)}
COUNTS = {ONE: 1024, MANY_SHORT: 1024, MANY_MIXED: 512}
SLOW = {PLAIN: 4}
"""Who gets a part of the texts only, so that a round does not take minutes: one out of this many."""
FLOORS = {(TORCH, ONE): 1.7, (PLAIN, ONE): 8.0, (TORCH, MANY_SHORT): 1.4, (TORCH, MANY_MIXED): 1.4}
LEAST_COSINE, LEAST_PLANNED = 0.999, 0.99
"""The planned one's answers have passed the accuracy gate, which judges ranks; this says that they are the same vectors."""


def measure(server: Server, rounds: int, environments: Path, seed: int = 53) -> tuple[dict[str, list[float]], Verdict]:
    """Texts a second by name, and the floors."""
    supply, figures = Texts(seed), defaultdict[str, list[float]](list)
    verdict = Verdict("embeddings against other servers")
    with planned() as other, _contenders(server, other.server, environments) as contenders:
        tell(other, verdict)
        texts = supply.mixed(64)
        expected = reference().encode(texts, show_progress_bar=False)
        for contender in contenders:
            least = LEAST_PLANNED if contender.name == PLANNED else LEAST_COSINE
            same = agree(contender.vectors(texts), expected, least)
            verdict.require(f"{contender.name}: cosine with sentence-transformers >= {least}", same)
        for turn in range(rounds + 1):
            for workload, (kind, per_request, clients) in WORKLOADS.items():
                # The first round warms up.
                texts = supply.make(kind, COUNTS[workload] if turn else 256)
                for contender in _in_turn(contenders, turn):
                    own = texts[: len(texts) // SLOW.get(contender.name, 1)]
                    speed = _texts_per_s(contender, contenders, own, per_request, clients)
                    figures[f"{contender.name}, {workload}"].extend([speed] if turn else [])
    judge(figures, verdict)
    return figures, verdict


def tell(other: Planned, verdict: Verdict) -> None:
    """What the plan chose, and what the gate had measured."""
    gate = other.gate
    drop = f"{gate['metric']} {gate['before']:.5f} -> {gate['after']:.5f}"
    verdict.figures[f"{PLANNED}: precision"] = other.precision
    verdict.figures[f"{PLANNED}: accuracy gate, {other.judge}"] = f"{'passed' if gate['passed'] else 'FAILED'}: {drop}"


def agree(found: NDArray[np.float32], expected: NDArray[np.float32], least: float = LEAST_COSINE) -> bool:
    """Whether every vector points where the reference's does. Both: a row for each text, any lengths."""
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    return bool(cosines.min() >= least)


def judge(figures: dict[str, list[float]], verdict: Verdict) -> None:
    """The floors, on the medians of the rounds' ratios. Ratios without a floor of their own are figures only."""
    for ours, (theirs, workload) in itertools.product((PLANNED, EXACT), itertools.product(PEERS, WORKLOADS)):
        if not (rounds := figures.get(f"{theirs}, {workload}")):
            continue
        ratio = statistics.median(a / b for a, b in zip(figures[f"{ours}, {workload}"], rounds, strict=True))
        floor = FLOORS.get((theirs, workload)) if ours == PLANNED else None
        what = f"{ours} / {theirs}, {workload}"
        if floor:
            verdict.at_least(what, ratio, floor)
        else:
            verdict.figures[what] = float(f"{ratio:.4g}")


@contextlib.contextmanager
def _contenders(server: Server, other: Server, environments: Path) -> Iterator[list[Contender]]:
    files, theirs = stored_model().files, environment("infinity", environments)
    plain = environment("fastapi", environments)
    with contextlib.ExitStack() as stack:
        found = [muster(server, EXACT), muster(other, PLANNED), stack.enter_context(infinity(theirs, "torch", files))]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-bench-")))
        export(files, folder)
        found.append(stack.enter_context(infinity(theirs, "optimum", folder)))
        found.append(stack.enter_context(plain_fastapi(plain, files)))
        yield found


def export(files: Path, folder: Path) -> None:
    """Write the model as ONNX beside its tokenizer, the form in which infinity-emb's ONNX engine finds it on the hub.
    The engine fuses and optimises the graph itself."""
    import torch
    import transformers

    for path in files.iterdir():
        if path.is_file() and path.suffix in (".json", ".txt"):
            shutil.copyfile(path, folder / path.name)
    model = transformers.AutoModel.from_pretrained(str(files), attn_implementation="eager", local_files_only=True)
    names = ("input_ids", "attention_mask", "token_type_ids")
    example = tuple(torch.ones(2, 7, dtype=torch.int64) for _ in names)
    axes = {name: {0: "batch", 1: "tokens"} for name in (*names, "last_hidden_state")}

    class _Body(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.model(**dict(zip(names, inputs, strict=True))).last_hidden_state
            return output

    torch.onnx.export(
        _Body().eval(),
        example,
        str(folder / "model.onnx"),
        input_names=list(names),
        output_names=["last_hidden_state"],
        dynamic_axes=axes,
        dynamo=False,
        opset_version=17,
    )


def _in_turn(contenders: Sequence[Contender], turn: int) -> list[Contender]:
    """Everybody is first in some round."""
    start = turn % len(contenders)
    return [*contenders[start:], *contenders[:start]]


def _texts_per_s(
    contender: Contender, contenders: Sequence[Contender], texts: list[str], per_request: int, clients: int
) -> float:
    bodies = [contender.body(texts[start : start + per_request]) for start in range(0, len(texts), per_request)]
    resting = [process for other in contenders if other is not contender for process in other.processes()]
    with at_rest(resting):
        load = asyncio.run(post_all(contender.port, contender.path, bodies, clients))
    if load.failures:
        raise RuntimeError(f"{contender.name}: {len(load.failures)} failed, first: {load.failures[0].status}")
    return len(texts) / load.seconds
