"""How much memory one replica of a model takes, in MiB: as measured on this machine when it came into the store, else as
measured elsewhere (``measured.yaml``), else estimated from its weights."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import yaml
from pydantic import PositiveInt, TypeAdapter, ValidationError

from model_store.catalogue import ModelSpec
from model_store.errors import CatalogueError
from model_store.store import ModelStore

Device = Literal["cpu", "gpu"]
Measured = Mapping[tuple[str, Device], int]
"""Bytes that one replica took under load, process included, by catalogue key and device."""

NOTHING_MEASURED: Measured = MappingProxyType({})
MEASURED_PATH = Path(__file__).with_name("measured.yaml")

PROCESS_MB: Mapping[Device, int] = {"cpu": 400, "gpu": 1024}
"""What a replica takes beside its weights. CPU: interpreter, Serve, tokenizer and runtime (270 measured), the rest for
the batches of larger models. GPU: the CUDA context and the libraries' workspaces (about 500) and a full batch."""
SERVE_MB = 150
"""What Ray, Serve and Muster's own code add to the process that was measured alone. Measured with all-minilm-l6-v2: a
replica under load took 332, the process with the model alone 188."""
HEAD_ROOM = 1.25
"""Allocators keep more than they use, and the longest batch comes one day: running out kills a replica."""
GPU_HOST_MB = 2048
"""RAM of a replica whose model is on a GPU: torch, the CUDA libraries and the buffers that feed it."""
CPU_KV_MB = 512
"""For the keys and values of the generations that a replica on a CPU runs at a time."""
CPU_GENERATION_LIMIT = 1_000_000_000
"""A token reads every weight once: beyond a billion, fp32, a processor says less than a few words a second."""


def load_measured(path: Path = MEASURED_PATH) -> Measured:
    """Figures that ship with Muster. Raises ``CatalogueError``."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        figures = TypeAdapter(dict[str, dict[Device, PositiveInt]]).validate_python(raw)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise CatalogueError(f"{path.name} cannot be read: {error}") from error
    return {(key, device): count for key, counts in figures.items() for device, count in counts.items()}


def measured_here(store: ModelStore) -> Measured:
    """Figures of the models in the store, all of replicas on the CPU."""
    taken = {key: store.process_bytes(key) for key in store.ls()}
    return {(key, "cpu"): count + SERVE_MB * 2**20 for key, count in taken.items() if count is not None}


def memory_mb(spec: ModelSpec, device: Device, measured: Measured) -> int:
    """Memory of one replica on ``device``, head-room included, rounded up."""
    known = measured.get((spec.key, device))
    weights = spec.parameters * _weight_bytes(spec, device) / 2**20
    taken = weights + PROCESS_MB[device] if known is None else known / 2**20
    running = CPU_KV_MB if device == "cpu" and spec.task in ("generation", "seq2seq") else 0
    return math.ceil(taken * HEAD_ROOM) + running


def too_slow(spec: ModelSpec, device: Device) -> bool:
    """Whether the model would answer at a pace that nobody waits for."""
    return device == "cpu" and spec.task == "generation" and spec.parameters > CPU_GENERATION_LIMIT


def _weight_bytes(spec: ModelSpec, device: Device) -> int:
    """Everything runs in fp32, so that answers do not depend on the device; generation on a GPU in 16 bits."""
    return 2 if device == "gpu" and spec.task == "generation" else 4
