"""Embeddings of the same files by several servers: all are up, and while one is measured the others are at rest.

All get the same texts, distinct throughout, from the same load generator; Muster and infinity-emb answer in base64, as
the `openai` SDK asks them to.
"""

import asyncio
import contextlib
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
from benchmarks.server import Server
from benchmarks.texts import MIXED, SHORT, Texts

TORCH, ONNX, PLAIN = "infinity-emb, torch", "infinity-emb, optimum", "FastAPI + sentence-transformers"
ONE, MANY_SHORT, MANY_MIXED = "1 a request x 64 clients, short", "64 x 4, short", "64 x 4, mixed"
WORKLOADS = {ONE: (SHORT, 1, 64), MANY_SHORT: (SHORT, 64, 4), MANY_MIXED: (MIXED, 64, 4)}
COUNTS = {ONE: 1024, MANY_SHORT: 1024, MANY_MIXED: 512}
SLOW = {PLAIN: 4}
"""Who gets a part of the texts only, so that a round does not take minutes: one out of this many."""
FLOORS = {(TORCH, ONE): 1.7, (PLAIN, ONE): 8.0, (TORCH, MANY_SHORT): 1.4, (TORCH, MANY_MIXED): 1.4}
LEAST_COSINE = 0.999


def measure(server: Server, rounds: int, environments: Path, seed: int = 53) -> tuple[dict[str, list[float]], Verdict]:
    """Texts a second by name, and the floors."""
    supply, figures = Texts(seed), defaultdict[str, list[float]](list)
    verdict = Verdict("embeddings against other servers")
    with _contenders(server, environments) as contenders:
        texts = supply.mixed(64)
        expected = reference().encode(texts, show_progress_bar=False)
        for contender in contenders:
            found = contender.vectors(texts)
            verdict.require(
                f"{contender.name}: cosine with sentence-transformers >= {LEAST_COSINE}", agree(found, expected)
            )
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


def agree(found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    """Whether every vector points where the reference's does. Both: a row for each text, any lengths."""
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    return bool(cosines.min() >= LEAST_COSINE)


def judge(figures: dict[str, list[float]], verdict: Verdict) -> None:
    """The floors, on the medians of the rounds' ratios. Ratios without a floor of their own are figures only."""
    for name in (TORCH, ONNX, PLAIN):
        for workload in WORKLOADS:
            if not (theirs := figures.get(f"{name}, {workload}")):
                continue
            ratio = statistics.median(a / b for a, b in zip(figures[f"Muster, {workload}"], theirs, strict=True))
            what = f"Muster / {name}, {workload}"
            if floor := FLOORS.get((name, workload)):
                verdict.at_least(what, ratio, floor)
            else:
                verdict.figures[what] = float(f"{ratio:.4g}")


@contextlib.contextmanager
def _contenders(server: Server, environments: Path) -> Iterator[list[Contender]]:
    files, theirs = stored_model().files, environment("infinity", environments)
    plain = environment("fastapi", environments)
    with contextlib.ExitStack() as stack:
        found = [muster(server), stack.enter_context(infinity(theirs, "torch", files))]
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
