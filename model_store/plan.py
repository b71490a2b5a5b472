"""Which models a machine can carry, where, and with which shares. Pure: a machine and a catalogue in, a plan out.

First-fit decreasing: the largest model is placed first, on a GPU when there is one with room, else in RAM. A model
without room gives way to its fallbacks, then to what a lower tier prefers. Models that this release can serve go before
all others: a model that is only pencilled in never takes their place.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from model_store.catalogue import Catalogue, ModelSpec
from model_store.eight_bit import NOTHING_KNOWN, Known, Request, measured_in_8_bits, precision_of
from model_store.footprint import NOTHING_MEASURED, Device, Measured, memory_mb, too_slow
from model_store.lock import Precision
from model_store.machine import Machine, Tier, tier
from model_store.room import FLEET_CPUS, REPLICA_CPUS, Room, Slot
from model_store.tiers import Wanted, wanted_models

MAX_REPLICAS = 2
"""As in the starter: a second replica bridges a restart; more of them share the same cores or the same GPU."""


@dataclass(frozen=True)
class Choice:
    """``key`` plays ``role`` (empty for a model without one). ``ready``: this release has an engine that does it.

    ``host``: the model whose replicas do it, ``key`` itself or of a light head its base.
    """

    role: str
    key: str
    ready: bool
    host: str


@dataclass(frozen=True)
class Placement:
    """Replicas of one model. ``memory_mb``: of one replica on ``device``; ``host_mb``: the RAM it takes.

    ``measured``: whether ``memory_mb`` comes from a measurement, otherwise from the number of parameters.
    ``gpus``: for each replica up to the maximum, the GPU with room for it; empty on the CPU. ``num_cpus`` is placement.
    ``why_fp32``: why it does not run in fewer bits although these were asked for; empty otherwise.
    """

    key: str
    device: Device
    memory_mb: int
    measured: bool
    host_mb: int
    gpu_fraction: float
    gpus: tuple[int, ...]
    num_cpus: float
    min_replicas: int
    max_replicas: int
    precision: Precision = "fp32"
    why_fp32: str = ""


@dataclass(frozen=True)
class Refusal:
    """A model that has no room. ``instead``: what plays its role, None when nothing does."""

    role: str
    key: str
    why: str
    instead: str | None


@dataclass(frozen=True)
class Plan:
    """Choices and refusals by role, placements by size."""

    machine: Machine
    tier: Tier
    choices: tuple[Choice, ...]
    placements: tuple[Placement, ...]
    refusals: tuple[Refusal, ...]

    @property
    def deployed(self) -> tuple[Placement, ...]:
        """What this release can run; the others are pencilled in."""
        ready = {choice.host for choice in self.choices if choice.ready}
        return tuple(placement for placement in self.placements if placement.key in ready)

    def key_of(self, role: str) -> str | None:
        """The model that plays ``role``."""
        return next((choice.key for choice in self.choices if choice.role == role), None)


def make_plan(
    machine: Machine,
    catalogue: Catalogue,
    *,
    engines: Collection[str],
    measured: Measured = NOTHING_MEASURED,
    tier_override: Tier | None = None,
    only: Iterable[str] = (),
    precision: Request = "fp32",
    eight_bit: Known = NOTHING_KNOWN,
    sixteen_bit: Known = NOTHING_KNOWN,
) -> Plan:
    """Fill ``machine``. ``engines``: tasks that can be served; ``only``: keys (no fallback for these) and roles;
    ``eight_bit``, ``sixteen_bit``: what is known of 8-bit graphs and of 16 bits on it.

    Raises ``UnknownModel`` for a name in ``only`` that is neither.
    """
    chosen = tier_override or tier(machine)
    wanted = wanted_models(catalogue, chosen, tuple(only))
    measured = measured_in_8_bits(catalogue, measured, precision, eight_bit)
    packing = _Packing(machine, catalogue, engines, measured)
    for each in sorted(wanted, key=packing.urgency):
        packing.place(each)
    packing.grow()
    order = [each.role for each in wanted]
    return Plan(
        machine,
        chosen,
        tuple(sorted(packing.choices, key=lambda choice: order.index(choice.role))),
        tuple(
            _in_precision(placement, *precision_of(spec, placement.device, precision, eight_bit, sixteen_bit))
            for placement in packing.placements()
            for spec in [catalogue.resolve(placement.key)]
        ),
        tuple(sorted(packing.refusals, key=lambda refusal: order.index(refusal.role))),
    )


class _Packing:
    """A plan in the making."""

    def __init__(self, machine: Machine, catalogue: Catalogue, engines: Collection[str], measured: Measured) -> None:
        self._machine, self._catalogue, self._engines, self._measured = machine, catalogue, engines, measured
        self._devices: tuple[Device, ...] = ("gpu", "cpu") if machine.gpus else ("cpu",)
        self._room = Room(machine)
        self._slots: dict[str, list[Slot]] = {}
        self.choices: list[Choice] = []
        self.refusals: list[Refusal] = []

    def urgency(self, wanted: Wanted) -> tuple[bool, bool, int]:
        """What can be served first; of that embeddings, which nothing stands in for and which stand in for others; then
        the largest, by the memory on the device that is tried first."""
        if not wanted.chain:
            return True, True, 0
        first = wanted.chain[0]
        size = memory_mb(self._catalogue.host_of(first), self._devices[0], self._measured)
        return not self._ready(wanted.role, first), wanted.role != "embedding", -size

    def place(self, wanted: Wanted) -> None:
        """The first model of the chain with room, or one that has a place already, plays the role."""
        role, failed, chosen = wanted.role, [], None
        for spec in wanted.chain:
            why = self._settle(self._catalogue.host_of(spec))
            if why is None:
                chosen = spec
                break
            failed.append((spec.key, why))
        if chosen:
            host = self._catalogue.host_of(chosen)
            self.choices.append(Choice(role, chosen.key, self._ready(role, chosen), host.key))
        if not wanted.chain:
            failed = [("-", "the catalogue has no model for it")]
        instead = chosen.key if chosen else None
        self.refusals += [Refusal(role, key, why, instead) for key, why in failed]

    def grow(self) -> None:
        """More replicas where there is room, in the order of placing: the maximum that autoscaling may reach."""
        for slots in self._slots.values():
            limit = max(MAX_REPLICAS, len(self._machine.gpus)) if slots[0].device == "gpu" else MAX_REPLICAS
            while len(slots) < limit and (slot := self._room.another(slots[0])):
                self._room.take(slot)
                slots.append(slot)

    def placements(self) -> tuple[Placement, ...]:
        """What was placed. Models on the CPU share the cores that the rest of the fleet leaves, at most one each."""
        slots = [slot for slots in self._slots.values() for slot in slots]
        on_cpu = sum(slot.device == "cpu" for slot in slots)
        left = self._machine.cores * 100 - FLEET_CPUS - REPLICA_CPUS * (len(slots) - on_cpu)
        share = min(100, left // on_cpu) if on_cpu else 0
        return tuple(
            _placement(key, slots, share, measured=(key, slots[0].device) in self._measured)
            for key, slots in self._slots.items()
        )

    def _settle(self, spec: ModelSpec) -> str | None:
        """Give the model a place; returns why it has none."""
        if spec.key in self._slots:
            return None
        reasons = []
        for device in self._devices:
            if too_slow(spec, device):
                reasons.append(f"{spec.parameters / 1e9:.1f} billion parameters generate too slowly on a CPU")
                continue
            found = self._room.find(device, memory_mb(spec, device, self._measured))
            if isinstance(found, Slot):
                self._room.take(found)
                self._slots[spec.key] = [found]
                return None
            reasons.append(found)
        return "; ".join(dict.fromkeys(reasons))

    def _ready(self, role: str, spec: ModelSpec) -> bool:
        """Whether this release has engines for the model and what it runs on, and the model can play the role."""
        tasks = {spec.task, self._catalogue.host_of(spec).task}
        return tasks <= set(self._engines) and (not role or spec.plays(role))


def _in_precision(placement: Placement, precision: Precision, why_fp32: str) -> Placement:
    return replace(placement, precision=precision, why_fp32=why_fp32)


def _placement(key: str, slots: list[Slot], cpu_share: int, *, measured: bool) -> Placement:
    first = slots[0]
    return Placement(
        key=key,
        device=first.device,
        memory_mb=first.memory_mb,
        measured=measured,
        host_mb=first.host_mb,
        gpu_fraction=first.cents / 100,
        gpus=tuple(slot.gpu for slot in slots if slot.gpu is not None),
        num_cpus=(cpu_share if first.device == "cpu" else REPLICA_CPUS) / 100,
        min_replicas=1,
        max_replicas=len(slots),
    )
