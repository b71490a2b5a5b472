"""What a machine has: cores, memory, GPUs; and the tier that follows. All memory is in MiB, as ``nvidia-smi`` counts."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model_store import control_groups

Tier = Literal["basic", "standard", "high", "enterprise"]
TIERS: tuple[Tier, ...] = ("basic", "standard", "high", "enterprise")

SOLD_AS = 0.93
"""A machine sold as 16 GB reports less: firmware keeps some of the RAM, ECC a sixteenth of a GPU (15,360 of 16,384)."""
NVIDIA_SMI_TIMEOUT_S = 10
_FIELDS = ("index", "uuid", "name", "memory.total")
_QUERY = ("nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Gpu:
    """``memory_mb``: what the driver reports, in MiB."""

    name: str
    memory_mb: int


@dataclass(frozen=True)
class Machine:
    """What one node may use; ``memory_mb`` is RAM in MiB."""

    cores: int
    memory_mb: int
    gpus: tuple[Gpu, ...] = ()


def tier(machine: Machine) -> Tier:
    """The tier by the largest single GPU (a model is not split over two), RAM and cores."""
    vram = max((gpu.memory_mb for gpu in machine.gpus), default=0)

    def has(megabytes: int, gigabytes: int) -> bool:
        return megabytes >= gigabytes * 1024 * SOLD_AS

    if has(vram, 16) and has(machine.memory_mb, 32):
        return "enterprise"
    if has(vram, 8) and has(machine.memory_mb, 16):
        return "high"
    if has(vram, 4) or (machine.cores >= 8 and has(machine.memory_mb, 16)):
        return "standard"
    return "basic"


def read_machine(root: Path = Path("/"), visible_gpus: str | None = None) -> Machine:
    """This machine as this process may use it: its affinity and its control group count, not the whole host.

    ``visible_gpus``: the text of ``CUDA_VISIBLE_DEVICES``, None where it is unset. ``root`` is another one in tests.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = min(memory, control_groups.memory_limit(root) or memory)
    cores = min(cores, control_groups.core_quota(root) or cores)
    return Machine(cores, memory // 2**20, read_gpus(visible_gpus))


def read_gpus(visible: str | None = None) -> tuple[Gpu, ...]:
    """GPUs that ``nvidia-smi`` names, none where it is missing, fails or hangs. torch takes seconds to import."""
    if shutil.which(_QUERY[0]) is None:
        return ()
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(done.stdout, visible)


def parse_gpus(listing: str, visible: str | None = None) -> tuple[Gpu, ...]:
    """The lines of ``nvidia-smi`` that ``visible`` (``CUDA_VISIBLE_DEVICES``) allows.

    A GPU without memory of its own ("[N/A]") is left out: a fraction of it means nothing.
    """
    allowed = None if visible is None else [part.strip() for part in visible.split(",")]
    found = []
    for line in listing.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != len(_FIELDS):
            continue  # prose, such as "No devices were found"
        index, uuid, name, memory = parts
        # CUDA takes the beginning of a UUID too.
        chosen = allowed is None or any(part == index or (part and uuid.startswith(part)) for part in allowed)
        if chosen and memory.isdecimal():
            found.append(Gpu(name, int(memory)))
    return tuple(found)
