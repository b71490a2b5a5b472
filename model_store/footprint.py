"""How much memory one replica of a model takes, in MiB: measured where it was, otherwise estimated from its weights."""

import math
from collections.abc import Mapping
from typing import Literal

from model_store.catalogue import ModelSpec

Device = Literal["cpu", "gpu"]
Measured = Mapping[tuple[str, Device], int]
"""Bytes that one replica took under load, process included, by catalogue key and device."""

PROCESS_MB: Mapping[Device, int] = {"cpu": 400, "gpu": 1024}
"""What a replica takes beside its weights. CPU: interpreter, Serve, tokenizer, runtime, one batch. GPU: the CUDA context
and the libraries' workspaces (about 500) and the activations of a full batch."""
HEAD_ROOM = 1.25
"""Allocators keep more than they use, and the longest batch comes one day: running out kills a replica."""
GPU_HOST_MB = 2048
"""RAM of a replica whose model is on a GPU: torch, the CUDA libraries and the buffers that feed it."""
CPU_GENERATION_LIMIT = 1_000_000_000
"""A token reads every weight once: beyond a billion, fp32, a processor says less than a few words a second."""


def memory_mb(spec: ModelSpec, device: Device, measured: Measured) -> int:
    """Memory of one replica on ``device``, head-room included, rounded up."""
    known = measured.get((spec.key, device))
    if known is not None:
        return math.ceil(known * HEAD_ROOM / 2**20)
    weights = spec.parameters * _weight_bytes(spec, device) / 2**20
    return math.ceil((weights + PROCESS_MB[device]) * HEAD_ROOM)


def too_slow(spec: ModelSpec, device: Device) -> bool:
    """Whether the model would answer at a pace that nobody waits for."""
    return device == "cpu" and spec.task == "generation" and spec.parameters > CPU_GENERATION_LIMIT


def _weight_bytes(spec: ModelSpec, device: Device) -> int:
    """Everything runs in fp32, so that answers do not depend on the device; generation on a GPU in 16 bits."""
    return 2 if device == "gpu" and spec.task == "generation" else 4
