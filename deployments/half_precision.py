"""``muster models quantize --precision fp16``: a model in 16 bits on this machine's GPU, judged against fp32 there.

There is no other graph: the weights are rounded when they are loaded. What is kept with the model is the record of the gate
and, where it passed, golden answers of its own. Everything runs in this process, as a replica would run it.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from deployments.engines.cuda import Cuda, TorchCuda
from deployments.engines.encoders import has_graph
from deployments.engines.packed_encoder import PackedEncoder
from deployments.errors import UnusableData
from deployments.judging import figures, inputs_of, judge, texts_of, with_own_golden
from deployments.settings import DeploymentSettings
from deployments.trial_speed import mixed_texts, short_text, speed_ratio
from model_store import child, gate
from model_store.errors import ConversionFailed
from model_store.gate import Gate
from model_store.lock import Artefact
from model_store.store import ModelStore
from model_store.stored_model import StoredModel


def halve(
    store: ModelStore,
    key: str,
    data: Path,
    settings: DeploymentSettings,
    say: child.Progress,
    labels: Sequence[str] = (),
    cuda: Cuda | None = None,
    device: str = "cuda",
) -> Gate:
    """Judge a model in 16 bits by ``data`` and keep the figures; returns them. Arguments as of ``quantize``.

    Raises ``ConversionFailed`` on a machine without such a GPU, ``UnusableData``, ``ModelNotPulled``, ``TamperedModel``,
    ``EngineFault`` for a model that leaves the range of 16 bits, ``StoreBusy``.
    """
    cuda = cuda or TorchCuda()
    _require(cuda)
    stored = store.open(key)
    if not has_graph(stored):
        raise ConversionFailed(f"There is no 16-bit backend for {key!r}: it runs through another library.")
    if stored.task == "zero-shot" and len(labels) < 2:
        raise UnusableData(f"{key} is asked with labels: name two or more that the texts could have.")
    texts = texts_of(stored, data)
    exact_folder = stored.artefact_dir()
    assert stored.artefact is not None
    made_with = gate.made_with(stored.artefact.made_with, "fp16", cuda.name())
    with tempfile.TemporaryDirectory(prefix="muster-halve-") as folder:
        target = Path(folder)
        for name in ("tokenizer.json", "encoder.json"):
            shutil.copyfile(exact_folder / name, target / name)
        exact = PackedEncoder(stored, settings, device)
        exact.load()
        half = with_own_golden(partial(PackedEncoder, _in_target(stored, target), settings, device), target)
        say("measuring accuracy")
        accuracy = judge(stored, data, labels, exact, half)
        say("measuring speed")
        short = inputs_of(stored, short_text(texts), labels)
        mixed = inputs_of(stored, mixed_texts(texts), labels)
        speed = {
            "short_text": speed_ratio(exact.encode, half.encode, short, passes=20),
            "mixed_texts": speed_ratio(exact.encode, half.encode, mixed),
        }
        found = figures(accuracy, speed, data, "fp16", cuda.name(), gate.torch_runtime())
        found.write(target)
        if not found.passed:
            for name in ("tokenizer.json", "encoder.json"):
                (target / name).unlink()
        store.attach(key, target, made_with, "fp16")
    return found


def _require(cuda: Cuda) -> None:
    """Raises ``ConversionFailed`` where nothing can be judged."""
    problem = cuda.problem()
    if problem is not None:
        raise ConversionFailed(f"16 bits are judged on the GPU that serves them, and there is none here: {problem}.")
    if not cuda.flash():
        raise ConversionFailed(
            f"{cuda.name()} has no attention in 16 bits for texts of all lengths (Ampere and later)."
        )


def _in_target(stored: StoredModel, target: Path) -> StoredModel:
    """The model as it will be in the store; joining an absolute path gives that path."""
    assert stored.artefact is not None
    made = Artefact(id="trial", folder=str(target.resolve()), made_with=stored.artefact.made_with)
    return replace(stored, artefact=made, precision="fp16")
