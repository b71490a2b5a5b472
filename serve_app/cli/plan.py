"""``muster plan``: which models this machine can carry, and the topology for them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import DEFAULT_CONFIG, JSON

if TYPE_CHECKING:
    from model_store.catalogue import Catalogue
    from model_store.eight_bit import Known, Request
    from model_store.machine import Gpu, Machine, Tier
    from model_store.plan import Placement, Plan
    from model_store.store import ModelStore


class PrecisionName(StrEnum):
    """``int8``: 8 bits on the CPU where the accuracy gate passed on this machine; ``fp16``: 16 on a GPU; ``auto``: either,
    where it is faster too."""

    fp32 = "fp32"
    int8 = "int8"
    fp16 = "fp16"
    auto = "auto"


class TierName(StrEnum):
    """The tiers, least first."""

    basic = "basic"
    standard = "standard"
    high = "high"
    enterprise = "enterprise"


TIER = Annotated[TierName | None, typer.Option("--tier", help="Plan as for this tier [default: the machine's].")]
GPUS = Annotated[str | None, typer.Option("--gpus", help="Plan for GPUs of so many GB, for example 24,24; 0: none.")]
ONLY = Annotated[list[str] | None, typer.Option("--only", help="Only this role or model; may be repeated.")]
WRITE = Annotated[bool, typer.Option("--write", help="Write the topology to PATH.")]
FORCE = Annotated[bool, typer.Option("--force", help="Overwrite another topology; change the embedding model.")]
PATH = Annotated[Path | None, typer.Argument(help="With --write [default: serve_config.yaml].", dir_okay=False)]
PRECISION = Annotated[
    PrecisionName,
    typer.Option(
        "--precision",
        help="int8, on a GPU fp16: where the accuracy gate passed here; auto: either, where it is faster too.",
    ),
]
NO_ENGINE = "no engine in this release"


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(plan)


def plan(
    path: PATH = None,
    json: JSON = False,
    tier: TIER = None,
    gpus: GPUS = None,
    only: ONLY = None,
    write: WRITE = False,
    force: FORCE = False,
    precision: PRECISION = PrecisionName.fp32,
) -> None:
    """Show which models fit this machine, with their shares, and what does not fit; with --write, for `serve deploy`."""
    from model_store.catalogue import load_catalogue

    if path and not write:
        raise typer.BadParameter(f"{path}: a file is only named together with --write.")
    if path and path.suffix not in (".yaml", ".yml"):
        raise typer.BadParameter(f"{path}: the topology's name ends in .yaml.")
    catalogue, names = load_catalogue(), [name for names in only or () for name in names.split(",")]
    made = plan_here(
        catalogue, None if gpus is None else parse_gpu_sizes(gpus), tier.value if tier else None, names, precision.value
    )
    show(made, json)
    if write:
        write_plan(made, catalogue, path or DEFAULT_CONFIG, force)


def plan_here(
    catalogue: "Catalogue",
    gpus: "tuple[Gpu, ...] | None" = None,
    tier: "Tier | None" = None,
    only: Sequence[str] = (),
    precision: "Request" = "fp32",
) -> "Plan":
    """The plan of this machine, with the memory that was measured on it. ``gpus``: instead of those that it has."""
    from model_store.eight_bit import NOTHING_KNOWN, eight_bit_here
    from model_store.footprint import load_measured, measured_here
    from model_store.machine import read_machine
    from model_store.plan import make_plan
    from model_store.settings import load_settings
    from model_store.store import ModelStore
    from serve_app.planned import ENGINES

    machine = read_machine(visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"))
    if gpus is not None:
        machine = replace(machine, gpus=gpus)
    store = ModelStore(load_settings().store_dir)
    return make_plan(
        machine,
        catalogue,
        engines=ENGINES,
        measured={**load_measured(), **measured_here(store)},
        tier_override=tier,
        only=only,
        precision=precision,
        eight_bit=eight_bit_here(store) if precision in ("int8", "auto") else NOTHING_KNOWN,
        sixteen_bit=_on_gpu(store, machine) if precision in ("fp16", "auto") else NOTHING_KNOWN,
    )


def _on_gpu(store: "ModelStore", machine: "Machine") -> "Known":
    """What is known of 16 bits on the machine's GPUs, which Ray takes to be alike."""
    from model_store.eight_bit import NOTHING_KNOWN, sixteen_bit_here

    return sixteen_bit_here(store, machine.gpus[0].name) if machine.gpus else NOTHING_KNOWN


def parse_gpu_sizes(text: str) -> "tuple[Gpu, ...]":
    """``24,24`` as two GPUs of 24 GB; ``0`` as none."""
    from model_store.machine import Gpu

    try:
        sizes = [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--gpus {text}: sizes in GB with commas between, or 0.") from None
    if not all(0 <= size < 10_000 for size in sizes):
        raise typer.BadParameter(f"--gpus {text}: a size is from 0 to 10000 GB.")
    return tuple(Gpu("GPU", int(size * 1024)) for size in sizes if size * 1024 >= 1)


def show(plan: "Plan", json: bool = False) -> None:
    """The plan as tables, or as JSON."""
    from serve_app.planned import describe, warnings

    if json:
        emit(asdict(plan))
        return
    say(f"{describe(plan)}.")
    if plan.choices:
        figures = ("memory", "basis", "GPU share", "CPU share", "replicas")
        table(("role", "model", "device", *figures, "state"), _rows(plan))
    if plan.refusals:
        print("" if plan.choices else "Nothing fits.")
        table(
            ("role", "does not fit", "why", "instead"),
            [(each.role or "-", each.key, each.why, each.instead or "nothing") for each in plan.refusals],
        )
    for warning in warnings(plan):
        say(warning)


def _rows(plan: "Plan") -> list[tuple[str, ...]]:
    """One row a role; a model with several roles has its figures in the first."""
    placements = {placement.key: placement for placement in plan.placements}
    rows, shown = list[tuple[str, ...]](), set[str]()
    for choice in plan.choices:
        placement = placements[choice.host]
        device = f"gpu {placement.gpus[0]}" if placement.gpus else "cpu"
        device += "" if placement.precision == "fp32" else f" {placement.precision}"
        shared = choice.host in shown
        shown.add(choice.host)
        figures = ("shared", "-", "-", "-", "-") if shared else _figures(placement)
        state = "served" if choice.ready else NO_ENGINE
        rows.append((choice.role or "-", choice.key, device, *figures, state))
    return rows


def _figures(placement: "Placement") -> tuple[str, str, str, str, str]:
    from model_store.room import gigabytes

    fewest, most = placement.min_replicas, placement.max_replicas
    return (
        gigabytes(placement.memory_mb),
        "measured" if placement.measured else "estimated",
        f"{placement.gpu_fraction:.2f}" if placement.gpus else "-",
        f"{placement.num_cpus:.2f}",
        str(fewest) if fewest == most else f"{fewest}-{most}",
    )


def write_plan(plan: "Plan", catalogue: "Catalogue", path: Path, force: bool) -> None:
    """Write the topology and the record of the embedding model; nothing when either is refused."""
    from model_store.embedding_record import embedding_change, write_record
    from model_store.settings import load_settings
    from model_store.store import ModelStore
    from serve_app.planned import planned_topology, read_template, render_topology, require_room, write_topology

    require_room(plan)
    store = load_settings().store_dir
    key = plan.key_of("embedding")
    embedding = catalogue.resolve(key) if key else None
    change = embedding_change(store, embedding) if embedding else None
    if change and not force:
        raise change
    tasks: Mapping[str, str] = {spec.key: spec.task for spec in catalogue.models}
    write_topology(path, render_topology(plan, planned_topology(plan, tasks, read_template())), force=force)
    if embedding:
        write_record(store, embedding)
    if change:
        say(f"Forced: what was embedded with {change.made_with} must be embedded again.")
    stored = ModelStore(store).ls()
    missing = [placement.key for placement in plan.deployed if placement.key not in stored]
    say(f"Wrote {path}." + (f" Not in the store yet: {', '.join(missing)}." if missing else ""))
