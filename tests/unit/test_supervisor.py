"""What ``muster up`` does when applications fail, and when Serve goes away. The cluster is played by a small class."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_waiting import MESSAGE

from model_store.settings import StoreSettings
from serve_app import supervisor
from serve_app.errors import SettingsError
from serve_app.settings import Settings, load_settings
from serve_app.supervisor import Supervisor


class Cluster:
    """Answers with the states it was given, one set a question, the last for ever."""

    def __init__(self, *states: dict[str, tuple[str, str]], answers: bool = True) -> None:
        self._states, self._answers = list(states), answers
        self.started: dict[str, Any] = {}

    def start(self, topology: dict[str, Any], dashboard: int, num_gpus: int | None) -> None:
        self.started, self.num_gpus = topology, num_gpus

    def states(self) -> dict[str, Any]:
        states = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return {name: _status(state, message) for name, (state, message) in states.items()}

    def answers(self) -> bool:
        return self._answers


def _status(state: str, message: str) -> Any:
    deployment = SimpleNamespace(message=message)
    return SimpleNamespace(status=SimpleNamespace(value=state), message="", deployments={"only": deployment})


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def muster(tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(supervisor, "runtime_dir", lambda home: tmp_path)
    made = Supervisor(StoreSettings(home=tmp_path), Settings(), tmp_path / "serve_config.yaml", told.append)
    monkeypatch.setattr(made, "_answers", lambda: True)
    monkeypatch.setattr(made, "_catch", dict)
    monkeypatch.setattr(made, "_pause", lambda seconds: None)
    return made


TOPOLOGY = {"applications": [{"name": name} for name in ("minilm", "skills", "gateway")]}
UP = ("RUNNING", "")


def test_one_failed_model_is_told_and_does_not_take_the_rest_down(muster: Supervisor, told: list[str]) -> None:
    failed = ("DEPLOY_FAILED", "Traceback\n  somewhere\nTamperedModel: Model 'minilm' refuses to serve: config.json")
    cluster = Cluster(
        {"minilm": ("DEPLOYING", ""), "skills": UP, "gateway": UP}, {"minilm": failed, "skills": UP, "gateway": UP}
    )
    muster._start_cluster(cluster, TOPOLOGY)
    assert told[2:] == [
        "skills: ready",
        "gateway: ready",
        "minilm could not start: TamperedModel: Model 'minilm' refuses to serve: config.json",
    ]


WAITS = ("DEPLOYING", MESSAGE)


def test_a_model_without_room_is_told_and_the_rest_is_up(muster: Supervisor, told: list[str]) -> None:
    muster._start_cluster(Cluster({"minilm": WAITS, "skills": UP, "gateway": UP}), TOPOLOGY)
    assert told[2:] == [
        "minilm: it waits for room: a replica needs 0.1 CPU (1.2 left) and 0.4 GPU (0 left)",
        "skills: ready",
        "gateway: ready",
    ]


def test_a_gateway_without_room_ends_the_start(muster: Supervisor) -> None:
    with pytest.raises(SettingsError, match="gateway: it waits for room"):
        muster._start_cluster(Cluster({"minilm": UP, "skills": UP, "gateway": WAITS}), TOPOLOGY)


@pytest.mark.parametrize("given", [None, 0, 2])
def test_the_number_of_gpus_reaches_ray(given: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if given is not None:
        monkeypatch.setenv("MUSTER_NUM_GPUS", str(given))
    monkeypatch.setattr(supervisor, "runtime_dir", lambda home: tmp_path)
    made = Supervisor(StoreSettings(home=tmp_path), load_settings(), tmp_path / "serve_config.yaml", print)
    monkeypatch.setattr(made, "_answers", lambda: True)
    monkeypatch.setattr(made, "_catch", dict)
    cluster = Cluster({name: UP for name in ("minilm", "skills", "gateway")})
    made._start_cluster(cluster, TOPOLOGY)
    assert cluster.num_gpus == given


def test_a_failed_gateway_ends_the_start_with_its_reason(muster: Supervisor) -> None:
    cluster = Cluster(
        {"minilm": UP, "skills": UP, "gateway": ("DEPLOY_FAILED", "SettingsError: keys.txt is not there")}
    )
    with pytest.raises(SettingsError, match=r"gateway could not start: SettingsError: keys\.txt is not there"):
        muster._start_cluster(cluster, TOPOLOGY)


def test_what_never_settles_is_named(muster: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "READY_TIMEOUT_S", 0)
    with pytest.raises(SettingsError, match="skills did not start in time"):
        muster._start_cluster(Cluster({"minilm": UP, "skills": ("DEPLOYING", ""), "gateway": UP}), TOPOLOGY)


def test_a_serve_that_stays_silent_ends_the_run_with_the_place_of_the_logs(
    muster: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SILENCE_S", 0.0)
    with pytest.raises(SettingsError, match=r"Ray Serve has stopped answering; see .*logs"):
        muster._watch(Cluster({}, answers=False))
