"""Which models of a plan run in 8 bits: on request, on the CPU, where the accuracy gate passed on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from model_store.catalogue import Catalogue, ModelSpec
from model_store.convert import EXPORTED_TASKS
from model_store.errors import ConversionFailed
from model_store.footprint import SERVE_MB, Device, Measured
from model_store.gate import FASTER, Gate, Precision
from model_store.store import ModelStore

Request = Literal["fp32", "int8", "auto"]
"""``int8``: wherever the gate passed; ``auto``: where it is measurably faster too."""


@dataclass(frozen=True, slots=True)
class EightBit:
    """A stored model's 8-bit graph. ``why_not``: why it may not serve here, None when it may; ``slowest``: times fp32,
    for the size of request that gains least; ``replica_bytes``: what a replica takes, None where it was not measured."""

    why_not: str | None
    slowest: float = 0.0
    replica_bytes: int | None = None


Known = Mapping[str, EightBit]
NOTHING_KNOWN: Known = MappingProxyType({})


def eight_bit_here(store: ModelStore) -> Known:
    """By key, what this machine knows of the models in its store."""
    return {key: _looked_at(store, key) for key in store.ls()}


def precision_of(spec: ModelSpec, device: Device, request: Request, known: Known) -> tuple[Precision, str]:
    """What a model runs in, and why in fp32 all the same when 8 bits were asked for."""
    if request == "fp32":
        return "fp32", ""
    if device == "gpu":
        return "fp32", "no 8-bit backend on GPU"
    if spec.task not in EXPORTED_TASKS:
        return "fp32", f"no 8-bit backend for {spec.task}"
    state = known.get(spec.key, EightBit(f"gate not run: `muster models quantize {spec.key}`"))
    if state.why_not is not None:
        return "fp32", state.why_not
    if request == "auto" and state.slowest < FASTER:
        return "fp32", f"8 bits were not measurably faster here ({state.slowest:.2f} times fp32)"
    return "int8", ""


def measured_in_8_bits(catalogue: Catalogue, measured: Measured, request: Request, known: Known) -> Measured:
    """Figures of memory with those of 8-bit graphs in place of the others', for the models that run on them."""
    chosen = [spec.key for spec in catalogue.models if precision_of(spec, "cpu", request, known)[0] == "int8"]
    figures: dict[tuple[str, Device], int | None] = {(key, "cpu"): known[key].replica_bytes for key in chosen}
    return {**measured, **{place: count for place, count in figures.items() if count is not None}}


def _looked_at(store: ModelStore, key: str) -> EightBit:
    try:
        why_not, gate = store.why_closed(key), store.gate(key)
    except ConversionFailed as error:
        return EightBit(str(error).rstrip("."))
    taken = store.process_bytes(key, "int8")
    return EightBit(why_not, _slowest(gate), None if taken is None else taken + SERVE_MB * 2**20)


def _slowest(gate: Gate | None) -> float:
    return min(gate.speed.values()) if gate else 0.0
