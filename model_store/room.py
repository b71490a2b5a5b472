"""What is left of a machine while a plan fills it. Knows numbers only, nothing of roles and tiers.

Shares are counted in hundredths, as whole numbers: sums of them are exact.
"""

from dataclasses import dataclass, replace

from model_store.footprint import GPU_HOST_MB, Device
from model_store.machine import Machine

FLEET_MB = 2740
"""Ray, Serve, the gateways, Redis, the skill graph and the journal analysis at their maximum. Measured: 2,530 (proportional
set size) for the starter with one embedding replica of 270; a second replica of each of the three skills adds about 130."""
SYSTEM_SHARE = 0.1
"""Part of the RAM that is left to the system and to everybody else."""
FLEET_CPUS = 90
"""Hundredths of a core that the gateways, the skill graph and the journal analysis reserve at their maximum."""
REPLICA_CPUS = 10
"""The smallest CPU share of a replica. It is placement only, so that a fleet fits on a small machine."""


@dataclass(frozen=True)
class Slot:
    """A place for one replica: ``memory_mb`` on ``device``, of it ``host_mb`` RAM; ``cents`` hundredths of ``gpu``."""

    device: Device
    memory_mb: int
    host_mb: int
    gpu: int | None = None
    cents: int = 0


def usable_mb(machine: Machine) -> int:
    """RAM for model replicas; negative where not even the rest of the fleet fits."""
    return int(machine.memory_mb * (1 - SYSTEM_SHARE)) - FLEET_MB


class Room:
    """RAM, GPU shares and CPU shares that nobody has taken yet."""

    def __init__(self, machine: Machine) -> None:
        self._gpu_mb = [gpu.memory_mb for gpu in machine.gpus]
        self._cents = [100] * len(machine.gpus)
        self._memory = max(0, usable_mb(machine))
        self._cpus = machine.cores * 100 - FLEET_CPUS

    def find(self, device: Device, memory_mb: int) -> Slot | str:
        """The first place with room for a replica, or why there is none."""
        if self._cpus < REPLICA_CPUS:
            return "no CPU share is left"
        return self._on_gpu(memory_mb) if device == "gpu" else self._on_cpu(memory_mb)

    def another(self, slot: Slot) -> Slot | None:
        """Room for one more of the same. Serve knows one GPU share for all replicas, so it must be enough there too."""
        if self._cpus < REPLICA_CPUS or self._memory < slot.host_mb:
            return None
        if slot.gpu is None:
            return slot
        for index, total in enumerate(self._gpu_mb):
            if slot.memory_mb * 100 <= slot.cents * total and slot.cents <= self._cents[index]:
                return replace(slot, gpu=index)
        return None

    def take(self, slot: Slot) -> None:
        """Fill a place that ``find`` gave."""
        self._cpus -= REPLICA_CPUS
        self._memory -= slot.host_mb
        if slot.gpu is not None:
            self._cents[slot.gpu] -= slot.cents

    def _on_cpu(self, memory_mb: int) -> Slot | str:
        if memory_mb > self._memory:
            return f"needs {gigabytes(memory_mb)} of RAM, {gigabytes(self._memory)} is left"
        return Slot("cpu", memory_mb, memory_mb)

    def _on_gpu(self, memory_mb: int) -> Slot | str:
        if self._memory < GPU_HOST_MB:
            return f"needs {gigabytes(GPU_HOST_MB)} of RAM beside the GPU, {gigabytes(self._memory)} is left"
        for index, total in enumerate(self._gpu_mb):
            cents = -(-memory_mb * 100 // total)
            if cents <= self._cents[index]:
                return Slot("gpu", memory_mb, GPU_HOST_MB, index, cents)
        left = max(total * cents // 100 for total, cents in zip(self._gpu_mb, self._cents, strict=True))
        return f"needs {gigabytes(memory_mb)} on a GPU, at most {gigabytes(left)} is left on one"


def gigabytes(megabytes: int) -> str:
    """MiB as text in GB, as machines are sold."""
    return f"{megabytes / 1024:.2f} GB"
