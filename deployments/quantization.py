"""``muster models quantize``: a model's 8-bit graph, made and judged in a child process, then kept with the model."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from deployments.engines.encoders import has_graph
from deployments.errors import UnusableData
from deployments.settings import DeploymentSettings
from deployments.trial import Job, in_child_process
from deployments.trial_data import read_pairs, read_texts
from model_store import child, gate
from model_store.errors import ConversionFailed
from model_store.gate import Gate
from model_store.store import ModelStore


def quantize(
    store: ModelStore,
    key: str,
    data: Path,
    settings: DeploymentSettings,
    say: child.Progress,
    labels: Sequence[str] = (),
    trial: Callable[[Job, child.Progress], None] = in_child_process,
) -> Gate:
    """Make the 8-bit graph, judge it by ``data`` and keep it, or of one that failed the figures only; returns them.

    ``data``: rated pairs for an embedding model, else texts; ``labels``: what a zero-shot model chooses from. Raises
    ``UnusableData``, ``ModelNotPulled``, ``TamperedModel``, ``ConversionFailed``, ``StoreBusy``.
    """
    stored = store.open(key)
    if not has_graph(stored):
        raise ConversionFailed(f"There is no 8-bit backend for {key!r}: it does not run on an exported graph.")
    if stored.task == "zero-shot" and len(labels) < 2:
        raise UnusableData(f"{key} is asked with labels: name two or more that the texts could have.")
    # Told before minutes of work are spent.
    _ = read_pairs(data) if stored.task == "embedding" else read_texts(data)
    stored.artefact_dir()
    assert stored.artefact is not None
    made_with = gate.made_with(stored.artefact.made_with)
    with tempfile.TemporaryDirectory(prefix="muster-quantize-") as target:
        job = Job(
            key=key,
            folder=str(stored.folder.resolve()),
            target=target,
            data=str(data.resolve()),
            labels=tuple(labels),
            threads=settings.threads,
            token_budget=settings.token_budget,
            spin_us=settings.spin_us,
            gate_dir=str(settings.gate_dir),
        )
        trial(job, say)
        found = Gate.read(Path(target))
        store.attach(key, Path(target), made_with)
    return found
