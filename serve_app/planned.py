"""A plan as the topology that ``serve deploy`` takes: the starter's settings with the plan's models in it."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from model_store.errors import PlanRefused
from model_store.plan import Placement, Plan
from model_store.room import gigabytes, usable_mb
from serve_app.errors import SettingsError
from serve_app.topology import check_applications, check_topology

ENGINES: Mapping[str, str] = {
    **dict.fromkeys(("embedding", "classification", "zero-shot"), "serve_app.app:model"),
    **dict.fromkeys(("generation", "seq2seq"), "serve_app.app:generator"),
}
"""Tasks that this release serves, and what builds the application of such a model. All else is only pencilled in."""
FIXED = ("skills", "journal", "gateway")
"""Applications that every topology has, whatever the models."""
TEMPLATE = Path(__file__).resolve().parents[1] / "serve_config.yaml"


def read_template(path: Path = TEMPLATE) -> dict[str, Any]:
    """The checked-in topology. Raises ``SettingsError`` where Muster was installed without its checkout."""
    try:
        template: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"The starter topology {path} cannot be read; plans are written from a checkout."
        ) from error
    return template


def planned_topology(plan: Plan, tasks: Mapping[str, str], template: Mapping[str, Any]) -> dict[str, Any]:
    """The template with an application for each model that can be served. ``tasks``: the task of each key."""
    applications = {application["name"]: application for application in template["applications"]}
    # A topology without models is a template too: the skill graph's inference is hosted like a model.
    pattern = next(
        (application["deployments"][0] for name, application in applications.items() if name not in FIXED),
        applications["skills"]["deployments"][0],
    )
    models = [_application(placement, ENGINES[tasks[placement.key]], pattern) for placement in plan.deployed]
    flows = [applications[name] for name in FIXED if name in applications and name != "gateway"]
    fixed = [*flows, _with_roles(applications["gateway"], plan)]
    return {**template, "applications": models + fixed}


def render_topology(plan: Plan, topology: Mapping[str, Any]) -> str:
    """YAML with a heading that says how it was made. The same plan gives the same text: it carries no date."""
    check_topology(topology)
    check_applications(topology)
    return _heading(plan) + yaml.dump(topology, Dumper=_Plain, sort_keys=False, allow_unicode=True)


def write_topology(path: Path, text: str, *, force: bool = False) -> None:
    """Raises ``PlanRefused`` when ``path`` holds anything else, unless ``force``."""
    if path.exists() and path.read_bytes() != text.encode() and not force:
        raise PlanRefused(f"{path} exists and differs from the plan; name another file, or use --force.")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise PlanRefused(f"{path} cannot be written: {error.strerror}.") from error


def require_room(plan: Plan) -> None:
    """Raises ``PlanRefused`` for a machine that cannot even carry the gateway and the skill graph."""
    if usable_mb(plan.machine) < 0:
        raise PlanRefused(f"{describe(plan)}. That is too little for the gateway and the skill graph alone.")


def warnings(plan: Plan) -> list[str]:
    """What the table does not show and the reader should know."""
    found = []
    if len({gpu.memory_mb for gpu in plan.machine.gpus}) > 1:
        found.append(
            "The GPUs differ in size, and Ray does not know it: a replica may land on a smaller one than planned. "
            "Hide the smaller ones with CUDA_VISIBLE_DEVICES."
        )
    found += [
        f"{placement.key} runs in fp32: {placement.why_fp32}." for placement in plan.placements if placement.why_fp32
    ]
    if plan.choices and not plan.deployed:
        found.append("This release can serve none of these models.")
    return found


def describe(plan: Plan) -> str:
    """The machine and its tier in one line."""
    machine = plan.machine
    gpus = ", ".join(f"{gpu.name} with {gigabytes(gpu.memory_mb)}" for gpu in machine.gpus) or "no GPU"
    room = gigabytes(max(0, usable_mb(machine)))
    cores = f"{machine.cores} core{'s' if machine.cores > 1 else ''}"
    return f"Tier {plan.tier}: {cores}, {gigabytes(machine.memory_mb)} of RAM ({room} for models), {gpus}"


class _Plain(yaml.SafeDumper):
    """Writes shared settings out in full instead of as anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _with_roles(gateway: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    roles = {choice.role: choice.key for choice in plan.choices if choice.role and choice.ready}
    planned: dict[str, Any] = copy.deepcopy({**gateway})
    for deployment in planned["deployments"]:
        deployment["user_config"] = {"roles": roles}
    return planned


def _application(placement: Placement, import_path: str, pattern: Mapping[str, Any]) -> dict[str, Any]:
    deployment = copy.deepcopy({**pattern, "name": placement.key})
    bounds = {"min_replicas": placement.min_replicas, "initial_replicas": placement.min_replicas}
    deployment["autoscaling_config"] |= bounds | {"max_replicas": placement.max_replicas}
    deployment["ray_actor_options"] = {"num_cpus": placement.num_cpus}
    if placement.device == "gpu":
        deployment["ray_actor_options"]["num_gpus"] = placement.gpu_fraction
    return {
        "name": placement.key,
        "route_prefix": None,
        "import_path": import_path,
        "args": {"model": placement.key}
        | ({} if placement.precision == "fp32" else {"precision": placement.precision}),
        "deployments": [deployment],
    }


def _heading(plan: Plan) -> str:
    pencilled = [f"{choice.role or choice.key} ({choice.key})" for choice in plan.choices if not choice.ready]
    lines = [
        "Written by `muster plan --write`; make it again when the machine or the catalogue changes.",
        f"{describe(plan)}.",
        "`num_cpus` and `num_gpus` are placement only; a share of a GPU is the part of its memory that a replica needs.",
    ]
    if pencilled:
        lines.append(f"Left out, because this release has no engine for them: {', '.join(pencilled)}.")
    return "".join(f"# {line}\n" for line in lines)
