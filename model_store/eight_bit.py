"""Which models of a plan run in fewer bits: on request, where the accuracy gate passed on this machine; in 8 on its CPU, in
16 on its GPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from model_store.catalogue import Catalogue, ModelSpec
from model_store.convert import EXPORTED_TASKS
from model_store.errors import ConversionFailed
from model_store.footprint import SERVE_MB, Device, Measured
from model_store.gate import BITS, FASTER, Gate, Reduced, command
from model_store.lock import Precision
from model_store.store import ModelStore

Request = Literal["fp32", "int8", "fp16", "auto"]
"""``int8``, ``fp16``: wherever that gate passed; ``auto``: either, where it is measurably faster too."""


@dataclass(frozen=True, slots=True)
class EightBit:
    """A stored model in fewer bits. ``why_not``: why it may not serve here, None when it may; ``slowest``: times fp32,
    for the size of request that gains least; ``replica_bytes``: what a replica takes, None where it was not measured."""

    why_not: str | None
    slowest: float = 0.0
    replica_bytes: int | None = None


Known = Mapping[str, EightBit]
NOTHING_KNOWN: Known = MappingProxyType({})


def eight_bit_here(store: ModelStore) -> Known:
    """By key, what this machine knows of the models in its store."""
    return {key: _looked_at(store, key, "int8") for key in store.ls()}


def sixteen_bit_here(store: ModelStore, gpu: str) -> Known:
    """The same of 16 bits on a GPU of this name."""
    return {key: _looked_at(store, key, "fp16", gpu) for key in store.ls()}


def precision_of(
    spec: ModelSpec, device: Device, request: Request, known: Known, on_gpu: Known = NOTHING_KNOWN
) -> tuple[Precision, str]:
    """What a model runs in, and why in fp32 all the same when fewer bits were asked for. ``on_gpu``: known of 16 bits."""
    if request == "fp32":
        return "fp32", ""
    precision: Reduced = "fp16" if device == "gpu" else "int8"
    if request not in (precision, "auto"):
        return "fp32", "no 8-bit backend on GPU" if device == "gpu" else "no 16-bit backend on CPU"
    if device == "gpu" and spec.task == "generation":
        # It has a precision of its own there, that of its published weights.
        return "fp32", ""
    bits = BITS[precision]
    if spec.task not in EXPORTED_TASKS:
        return "fp32", f"no {bits}-bit backend for {spec.task}"
    found = (on_gpu if device == "gpu" else known).get(spec.key)
    state = found or EightBit(f"gate not run: {command(spec.key, precision)}")
    if state.why_not is not None:
        return "fp32", state.why_not
    if request == "auto" and state.slowest < FASTER:
        return "fp32", f"{bits} bits were not measurably faster here ({state.slowest:.2f} times fp32)"
    return precision, ""


def measured_in_8_bits(catalogue: Catalogue, measured: Measured, request: Request, known: Known) -> Measured:
    """Figures of memory with those of 8-bit graphs in place of the others', for the models that run on them."""
    chosen = [spec.key for spec in catalogue.models if precision_of(spec, "cpu", request, known)[0] == "int8"]
    figures: dict[tuple[str, Device], int | None] = {(key, "cpu"): known[key].replica_bytes for key in chosen}
    return {**measured, **{place: count for place, count in figures.items() if count is not None}}


def _looked_at(store: ModelStore, key: str, precision: Reduced, gpu: str = "") -> EightBit:
    try:
        why_not, gate = store.why_closed(key, precision, gpu), store.gate(key, precision)
    except ConversionFailed as error:
        return EightBit(str(error).rstrip("."))
    taken = store.process_bytes(key, precision)
    return EightBit(why_not, _slowest(gate), None if taken is None else taken + SERVE_MB * 2**20)


def _slowest(gate: Gate | None) -> float:
    return min(gate.speed.values()) if gate else 0.0
