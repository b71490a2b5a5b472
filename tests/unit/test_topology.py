"""serve_config.yaml: no unknown key, built by its own builders, an autoscaling_config for every model application."""

import copy
from pathlib import Path

import pytest
import yaml

from model_store.catalogue import PackageSource, load_catalogue
from serve_app.errors import SettingsError
from serve_app.topology import check_applications, check_topology

CONFIG = Path(__file__).parents[2] / "serve_config.yaml"


@pytest.fixture
def topology():
    return yaml.safe_load(CONFIG.read_text())


def test_the_checked_in_topology_is_right(topology):
    check_topology(topology)
    check_applications(topology)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ((), "application"),
        (("http_options",), "hots"),
        (("logging_config",), "acces_log"),
        (("applications", 0), "arg"),
        (("applications", 0, "deployments", 0), "num_replica"),
        (("applications", 0, "deployments", 0, "autoscaling_config"), "min_replica"),
        (("applications", 0, "deployments", 0, "autoscaling_config", "policy"), "policy_functions"),
        (("applications", 0, "deployments", 0, "ray_actor_options"), "num_cpu"),
    ],
)
def test_a_typo_is_refused_with_its_path(topology, path, key):
    broken = copy.deepcopy(topology)
    place = broken
    for step in path:
        place = place[step]
    place[key] = 1
    with pytest.raises(SettingsError) as refused:
        check_topology(broken)
    assert key in str(refused.value)


def test_unknown_arguments_and_deployments_are_refused(topology):
    broken = copy.deepcopy(topology)
    broken["applications"][0]["args"]["modle"] = "x"
    with pytest.raises(SettingsError, match="modle"):
        check_applications(broken)
    broken = copy.deepcopy(topology)
    broken["applications"][1]["deployments"][0]["name"] = "inferenze"
    with pytest.raises(SettingsError, match="inferenze"):
        check_applications(broken)


def test_precision_is_one_that_there_is(topology):
    topology["applications"][0]["args"]["precision"] = "int8"
    check_applications(topology)
    topology["applications"][0]["args"]["precision"] = "int4"
    with pytest.raises(SettingsError, match="precision"):
        check_applications(topology)


def test_every_application_that_serves_models_scales_by_itself(topology):
    for application in topology["applications"]:
        if application["name"] != "gateway":
            for deployment in application["deployments"]:
                assert deployment["autoscaling_config"]["min_replicas"] >= 1
                assert "num_replicas" not in deployment


def test_one_application_a_model_named_like_it_and_without_a_route(topology):
    applications = {application["name"]: application for application in topology["applications"]}
    starter = {spec.key for spec in load_catalogue().models if isinstance(spec.source, PackageSource)}
    assert set(applications) == starter | {"skills", "journal", "gateway"}
    for name, application in applications.items():
        assert application["route_prefix"] == ("/" if name == "gateway" else None)
        if name not in ("skills", "journal", "gateway"):
            assert application["args"] == {"model": name}
            assert [deployment["name"] for deployment in application["deployments"]] == [name]
