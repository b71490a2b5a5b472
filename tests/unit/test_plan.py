"""The hardware plan: recorded machines, packing, fallbacks, the topology it writes and the embedding guard.

The tables of the recorded machines are golden files. After a wanted change, write them again and read the difference:

    UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/unit/test_plan.py && git diff tests/unit/golden
"""

import copy
import os
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.serve.schema import ServeDeploySchema
from tiny_models import case

from deployments.memory import CONTEXT, HEADROOM
from model_store.catalogue import ROLES, Catalogue, load_catalogue
from model_store.errors import UnknownModel
from model_store.footprint import SERVE_MB, load_measured, measured_here, memory_mb
from model_store.machine import TIERS, Gpu, Machine, tier
from model_store.plan import make_plan
from model_store.room import FLEET_CPUS, usable_mb
from model_store.store import ModelStore
from model_store.tiers import PREFERRED
from serve_app.cli.plan import show
from serve_app.cli.pull import Fleet, _wanted
from serve_app.planned import ENGINES, FIXED, planned_topology, read_template, render_topology, warnings
from serve_app.topology import check_applications, check_topology

GOLDEN = Path(__file__).with_name("golden")
CATALOGUE = load_catalogue()
SPECS = {spec.key: spec for spec in CATALOGUE.models}
TASKS = {spec.key: spec.task for spec in CATALOGUE.models}
ALL_TASKS = set(TASKS.values())


def machine(cores, gigabytes, *gpus):
    return Machine(cores, gigabytes * 1024, tuple(Gpu(name, memory) for name, memory in gpus))


# GPU memory as nvidia-smi reports it.
MACHINES = {
    "laptop": machine(4, 16),
    "server-8-cores": machine(8, 32),
    "gpu-4": machine(4, 16, ("GTX 1650", 4096)),
    "gpu-8": machine(8, 16, ("RTX 3070", 8192)),
    "gpu-16": machine(8, 32, ("Tesla T4", 15360)),
    "gpu-24": machine(16, 64, ("A10G", 23028)),
    "gpu-80": machine(32, 256, ("H100 80GB HBM3", 81559)),
    "gpu-141": machine(16, 128, ("H200", 143771)),
    "gpus-24-24": machine(32, 128, ("RTX 4090", 24564), ("RTX 4090", 24564)),
    "too-small": machine(1, 2),
}


def plan_of(of, **options):
    return make_plan(of, CATALOGUE, **{"engines": ENGINES, "measured": load_measured(), **options})


def placed(plan):
    return {placement.key: placement for placement in plan.placements}


@pytest.mark.parametrize("name", MACHINES)
def test_the_plan_of_a_recorded_machine(name, capsys):
    show(plan_of(MACHINES[name]))
    shown = capsys.readouterr()
    text = f"{shown.err}{shown.out}"
    file = GOLDEN / f"plan-{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_no_golden_file_is_left_over():
    assert {file.name for file in GOLDEN.glob("plan-*.txt")} == {f"plan-{name}.txt" for name in MACHINES}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (machine(2, 4), "basic"),
        (machine(7, 64), "basic"),
        (machine(64, 14), "basic"),
        (machine(8, 16), "standard"),
        (machine(1, 4, ("g", 4096)), "standard"),
        (machine(4, 14, ("g", 24576)), "standard"),
        (machine(4, 16, ("g", 8192)), "high"),
        (machine(4, 24, ("g", 24576)), "high"),
        (machine(4, 32, ("T4", 15360)), "enterprise"),
        (Machine(8, 15_800), "standard"),
        # Two of 8 are not one of 16: a model is not split.
        (machine(4, 32, ("g", 8192), ("g", 8192)), "high"),
    ],
)
def test_the_tier_rule(of, expected):
    assert tier(of) == expected


GPUS = st.lists(st.builds(Gpu, st.just("gpu"), st.integers(1, 150_000)), max_size=4).map(tuple)
ANY_MACHINE = st.builds(Machine, st.integers(1, 128), st.integers(256, 600_000), GPUS)


@settings(max_examples=300, deadline=None)
@given(ANY_MACHINE, st.sampled_from([None, *TIERS]), st.sampled_from([set(ENGINES), ALL_TASKS]))
def test_no_plan_takes_more_than_there_is(of, override, engines):
    plan = plan_of(of, tier_override=override, engines=engines)
    shares, held = Counter(), Counter()
    for placement in plan.placements:
        for gpu in placement.gpus:
            shares[gpu] += round(placement.gpu_fraction * 100)
            held[gpu] += placement.memory_mb
            assert placement.memory_mb <= placement.gpu_fraction * of.gpus[gpu].memory_mb + 1e-6
        assert 1 <= placement.min_replicas <= placement.max_replicas
        assert (placement.device == "gpu") == bool(placement.gpus) == (placement.gpu_fraction > 0)
        assert len(placement.gpus) in (0, placement.max_replicas)
        assert 0.1 <= placement.num_cpus <= 1
    assert all(share <= 100 for share in shares.values())
    assert all(held[gpu] <= of.gpus[gpu].memory_mb for gpu in held)
    assert sum(each.host_mb * each.max_replicas for each in plan.placements) <= max(0, usable_mb(of))
    cpus = sum(round(each.num_cpus * 100) * each.max_replicas for each in plan.placements)
    assert not plan.placements or cpus + FLEET_CPUS <= of.cores * 100


@settings(max_examples=100, deadline=None)
@given(ANY_MACHINE)
def test_every_role_is_played_or_refused_with_a_reason(of):
    plan = plan_of(of)
    played = {choice.role for choice in plan.choices}
    assert played | {refusal.role for refusal in plan.refusals} == set(ROLES)
    for refusal in plan.refusals:
        assert refusal.why
        assert refusal.instead == plan.key_of(refusal.role) != refusal.key
    assert {choice.host for choice in plan.choices} == set(placed(plan))


@pytest.mark.parametrize("name", sorted(set(MACHINES) - {"too-small"}))
@pytest.mark.parametrize("override", [None, "basic", "enterprise"])
def test_every_written_topology_passes_the_config_check(name, override):
    plan = plan_of(MACHINES[name], tier_override=override)
    text = render_topology(plan, planned_topology(plan, TASKS, read_template()))
    written = yaml.safe_load(text)
    check_topology(written)
    check_applications(written)
    ServeDeploySchema.model_validate(written)
    applications = {application["name"]: application for application in written["applications"]}
    assert set(applications) == {placement.key for placement in plan.deployed} | set(FIXED)
    for placement in plan.deployed:
        deployment = applications[placement.key]["deployments"][0]
        assert deployment["ray_actor_options"].get("num_gpus", 0) == placement.gpu_fraction
        assert deployment["ray_actor_options"]["num_cpus"] == placement.num_cpus
        assert deployment["autoscaling_config"]["max_replicas"] == placement.max_replicas


def test_a_written_topology_keeps_the_settings_of_its_template_and_is_a_template_itself():
    template = read_template()
    plan = plan_of(MACHINES["gpu-24"], engines={"embedding"})
    written = planned_topology(plan, TASKS, template)
    assert {key: written[key] for key in template if key != "applications"} == {
        key: template[key] for key in template if key != "applications"
    }
    gateway = copy.deepcopy(template["applications"][-1])
    gateway["deployments"][0]["user_config"] = {"roles": {"embedding": "multilingual-e5-large"}}
    assert written["applications"][1:] == [*template["applications"][1:-1], gateway]
    pattern, model = (config["applications"][0]["deployments"][0] for config in (template, written))
    for key in set(pattern) - {"name", "ray_actor_options"}:
        expected = {**pattern[key], "max_replicas": 1} if key == "autoscaling_config" else pattern[key]
        assert model[key] == expected
    assert template == read_template(), "the template was changed"
    assert planned_topology(plan, TASKS, written) == written
    # Also one without a model: the inference of the skill graph is hosted like one.
    bare = planned_topology(plan_of(MACHINES["gpu-24"], only=["chat"], engines=()), TASKS, template)
    assert [application["name"] for application in bare["applications"]] == list(FIXED)
    assert planned_topology(plan, TASKS, bare) == written


def test_the_reserved_cpu_share_is_that_of_the_template():
    fixed = [each for each in read_template()["applications"] if each["name"] in FIXED]
    reserved = sum(
        deployment["ray_actor_options"]["num_cpus"]
        * (deployment.get("num_replicas") or deployment["autoscaling_config"]["max_replicas"])
        for application in fixed
        for deployment in application["deployments"]
    )
    assert round(reserved * 100) == FLEET_CPUS


def test_the_starter_machine_serves_the_starter_model():
    plan = plan_of(machine(2, 4))
    assert [placement.key for placement in plan.deployed] == ["all-minilm-l6-v2"]


def test_a_model_without_room_gives_way_to_its_fallback_with_the_numbers():
    plan = plan_of(machine(8, 64, ("g", 16384)), only=["chat"])
    [refusal] = plan.refusals
    assert (refusal.key, refusal.instead) == ("mistral-7b-instruct", "phi-2")
    assert refusal.why == (
        "needs 18.11 GB on a GPU, at most 16.00 GB is left on one; 7.2 billion parameters generate too slowly on a CPU"
    )
    assert placed(plan)["phi-2"].device == "gpu"


def test_embedding_steps_down_a_tier_where_the_preferred_model_has_no_room():
    plan = plan_of(machine(4, 5), tier_override="high", only=["embedding"])
    assert [refusal.key for refusal in plan.refusals] == ["e5-large-v2"]
    assert plan.key_of("embedding") == "all-mpnet-base-v2"


def test_models_that_can_be_served_are_placed_before_larger_ones_that_cannot():
    small, roles = machine(4, 16, ("g", 4096)), ["sentiment", "zero-shot"]
    today = plan_of(small, only=roles, engines={"classification"})
    assert today.placements[0].key == "twitter-roberta-base-sentiment-latest"
    assert today.placements[0].device == "gpu"
    # With every engine there, the largest comes first.
    later = plan_of(small, only=roles, engines=ALL_TASKS)
    assert later.placements[0].key == "bart-large-mnli"
    assert len(later.deployed) == len(later.placements)


def test_a_plan_that_cannot_be_served_says_so():
    assert warnings(plan_of(machine(4, 16), engines=ALL_TASKS)) == []
    assert warnings(plan_of(machine(4, 16), engines=())) == ["This release can serve none of these models."]


def test_embeddings_come_before_what_they_can_stand_in_for():
    for memory in (4, 5, 6, 8):
        plan = plan_of(machine(2, memory), engines=ALL_TASKS)
        assert plan.placements[0].key == plan.key_of("embedding")


def test_a_light_head_is_free_where_its_base_has_a_place():
    plan = plan_of(machine(2, 4))
    by_role = {choice.role: choice for choice in plan.choices if choice.ready}
    assert by_role["embedding"].key == by_role["zero-shot"].key == "all-minilm-l6-v2"
    assert (by_role["emotion"].key, by_role["emotion"].host) == ("minilm-emotion", "all-minilm-l6-v2")
    assert by_role["sentiment"].key == "minilm-sentiment"
    assert [placement.key for placement in plan.deployed] == ["all-minilm-l6-v2"]
    written = planned_topology(plan, TASKS, read_template())["applications"]
    assert [application["name"] for application in written] == ["all-minilm-l6-v2", *FIXED]
    roles = written[-1]["deployments"][0]["user_config"]["roles"]
    starter = read_template()["applications"][-1]["deployments"][0]["user_config"]["roles"]
    assert roles == starter | {"zero-shot": "all-minilm-l6-v2"}


def test_a_light_head_without_room_for_its_base_is_refused_and_without_its_engine_not_ready():
    plan = plan_of(machine(2, 4), only=["minilm-emotion"])
    assert [placement.key for placement in plan.deployed] == ["all-minilm-l6-v2"]
    assert plan_of(MACHINES["too-small"], only=["minilm-emotion"]).choices == ()
    assert plan_of(machine(2, 4), only=["minilm-emotion"], engines={"classification"}).deployed == ()


def test_only_names_models_and_roles():
    plan = plan_of(MACHINES["server-8-cores"], only=["bart-large", "sentiment", "intfloat/e5-large-v2", "e5-large-v2"])
    assert [(choice.role, choice.key) for choice in plan.choices] == [
        ("embedding", "e5-large-v2"),
        ("sentiment", "twitter-roberta-base-sentiment-latest"),
        ("", "bart-large"),
    ]
    with pytest.raises(UnknownModel):
        plan_of(MACHINES["laptop"], only=["no-such-model"])


def test_a_model_named_by_its_key_has_no_stand_in():
    plan = plan_of(MACHINES["laptop"], only=["mistral-7b-instruct"])
    assert plan.choices == ()
    assert [refusal.instead for refusal in plan.refusals] == [None]


def test_a_role_that_no_model_of_the_catalogue_plays_is_refused():
    empty = Catalogue(format=1, models=())
    plan = make_plan(MACHINES["laptop"], empty, engines=ENGINES, only=["embedding"])
    assert [refusal.why for refusal in plan.refusals] == ["the catalogue has no model for it"]


def test_more_gpus_let_more_replicas_run():
    one = placed(plan_of(machine(16, 64, ("g", 8192)), only=["phi-2"]))["phi-2"]
    two = placed(plan_of(machine(16, 64, ("g", 8192), ("g", 8192)), only=["phi-2"]))["phi-2"]
    assert (one.gpus, two.gpus) == ((0,), (0, 1))
    assert (one.max_replicas, two.max_replicas) == (1, 2)


def test_a_measurement_replaces_the_estimate_on_its_device_only():
    spec = SPECS["all-mpnet-base-v2"]
    measured = {(spec.key, "gpu"): 800 * 2**20}
    assert memory_mb(spec, "gpu", measured) == 1000
    assert memory_mb(spec, "cpu", measured) == memory_mb(spec, "cpu", {}) > 400


def test_a_plan_says_which_figures_were_measured():
    measured = {("all-mpnet-base-v2", "gpu"): 800 * 2**20, ("bart-large-cnn", "cpu"): 2**30}
    found = placed(plan_of(machine(4, 16, ("g", 4096)), measured=measured))
    assert {key: (placement.device, placement.measured) for key, placement in found.items()} == {
        key: (found[key].device, (key, found[key].device) in measured) for key in found
    }
    assert found["all-mpnet-base-v2"].measured
    assert found["all-mpnet-base-v2"].memory_mb == 1000
    assert not found["dialogpt-medium"].measured


@pytest.mark.parametrize("name", [name for name, of in MACHINES.items() if of.gpus])
def test_a_planned_share_passes_the_check_at_load(name):
    of = MACHINES[name]
    for placement in plan_of(of).deployed:
        for gpu in placement.gpus:
            own = placement.gpu_fraction * of.gpus[gpu].memory_mb * 2**20 - CONTEXT
            spec = SPECS[placement.key]
            # What writes is loaded in 16 bits there.
            assert own >= (2 if spec.task == "generation" else 4) * spec.parameters + HEADROOM


def test_what_was_measured_here_is_taken_for_the_models_in_the_store():
    stored = case("minilm").stored
    store = ModelStore(stored.folder.parent.parent)
    figures = measured_here(store)
    assert figures[stored.key, "cpu"] == store.process_bytes(stored.key) + SERVE_MB * 2**20
    assert {device for _, device in figures} == {"cpu"}
    assert measured_here(ModelStore(stored.folder / "no-store")) == {}


@pytest.mark.parametrize("name", ["laptop", "gpu-24", "too-small"])
def test_the_full_fleet_is_what_the_plan_deploys_and_the_rest_is_named_with_its_reason(
    name, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path))
    monkeypatch.setattr("model_store.machine.read_machine", lambda visible_gpus: MACHINES[name])
    plan = plan_of(MACHINES[name])
    wanted = [spec.key for spec in _wanted(CATALOGUE, (), Fleet.full)]
    assert sorted(wanted) == sorted(placement.key for placement in plan.deployed)
    assert all(SPECS[key].task in ENGINES for key in wanted)
    told = capsys.readouterr().err
    for choice in plan.choices:
        left_out = f"Left out: {choice.key} ({choice.role}): no engine in this release"
        assert (left_out in told) == (choice.host not in wanted)
    for refusal in plan.refusals:
        assert f"Left out: {refusal.key} ({refusal.role}): {refusal.why}" in told


def test_generation_takes_half_the_bytes_on_a_gpu():
    spec = SPECS["dialogpt-medium"]
    weights = spec.parameters * 4 / 2**20
    assert memory_mb(spec, "cpu", {}) == pytest.approx((weights + 400) * 1.25 + 512, abs=1)
    assert memory_mb(spec, "gpu", {}) == pytest.approx((weights / 2 + 1024) * 1.25, abs=1)


def test_tables_name_models_of_the_catalogue_that_can_play_the_role():
    assert {key for key, _ in load_measured()} <= set(SPECS)
    for preferred in PREFERRED.values():
        assert set(preferred) == set(ROLES)
        for role, key in preferred.items():
            # Label similarity stands in for entailment on the smallest machines.
            assert role in SPECS[key].roles or (role, key) == ("zero-shot", "all-minilm-l6-v2")
