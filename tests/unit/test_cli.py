"""The muster command without a running Muster: help at once, exit codes that mean something, data on stdout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.environment import runtime_dir, serving_environment
from serve_app.errors import SettingsError
from serve_app.instance import only_one, read_state, write_state

HEAVY = ("ray", "torch", "transformers", "xgboost", "onnxruntime", "fastapi", "numpy", "sentence_transformers")


def muster(*arguments, home, stdin=None, **environment):
    command = [sys.executable, "-m", "serve_app.cli.main", *arguments]
    env = {**os.environ, "MUSTER_HOME": str(home), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, input=stdin, timeout=120)


@pytest.mark.parametrize(
    "command",
    [(), ("up",), ("embed",), ("infer",), ("plan",), ("models",), ("skills", "train"), ("heads", "train"), ("env",)],
)
def test_help_needs_no_heavy_import(command):
    script = (
        "import sys\nfrom serve_app.cli.main import app\n"
        f"try:\n    app({[*command, '--help']!r})\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_nobody_answers(tmp_path):
    done = muster("embed", "a text", home=tmp_path, MUSTER_URL="http://127.0.0.1:9")
    assert done.returncode == 3
    assert "muster up" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_and_usage(tmp_path):
    outside = muster("up", "--host", "0.0.0.0", home=tmp_path)
    assert outside.returncode == 2
    assert "MUSTER_KEYS_FILE" in outside.stderr
    assert muster("models", "adopt", home=tmp_path).returncode == 2
    assert muster("models", "adopt", "no-such-model", home=tmp_path).returncode == 2
    assert muster("nonsense", home=tmp_path).returncode == 2


def test_models_ls_and_verify_of_an_empty_store(tmp_path):
    listed = muster("models", "ls", "--json", home=tmp_path)
    states = {row["key"]: row["state"] for row in json.loads(listed.stdout)}
    assert {key for key, state in states.items() if state == "shipped"} == {"minilm-emotion", "minilm-sentiment"}
    assert set(states.values()) == {"not_pulled", "shipped"}
    verified = muster("models", "verify", "--json", home=tmp_path)
    assert verified.returncode == 0
    assert [(row["key"], row["ok"]) for row in json.loads(verified.stdout)] == [
        ("minilm-emotion", True),
        ("minilm-sentiment", True),
    ]
    missing = muster("models", "verify", "all-minilm-l6-v2", home=tmp_path)
    assert missing.returncode == 1
    assert "not in the store" in missing.stderr


def test_env_can_be_evaluated_by_a_shell(tmp_path):
    printed = muster("env", home=tmp_path).stdout
    shell = subprocess.run(
        ["sh", "-c", printed + 'echo "$RAY_SERVE_THROUGHPUT_OPTIMIZED $MUSTER_HOME"'], capture_output=True, text=True
    )
    assert shell.stdout.split() == ["1", str(tmp_path)]


def test_a_key_is_printed_once_and_stored_hashed(tmp_path):
    file = tmp_path / "keys.jsonl"
    key = muster("new-key", "north-school", "--file", str(file), home=tmp_path).stdout.strip()
    assert key.startswith("muster_")
    assert key.split("_", 2)[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_the_check_command_passes_on_the_checked_in_topology(tmp_path):
    done = muster("check", "--config", str(Path(__file__).parents[2] / "serve_config.yaml"), home=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_runtime_folder_is_short_private_and_the_same_for_everybody_of_a_data_folder(tmp_path):
    folder = runtime_dir(tmp_path)
    try:
        assert folder == runtime_dir(tmp_path)
        assert folder.stat().st_mode & 0o077 == 0
        # HAProxy allows 97 bytes for a socket, of which Ray's node id and a slash take 57.
        socket = serving_environment(tmp_path).get("RAY_SERVE_HAPROXY_SOCKET_PATH", "")
        assert len(socket) + 57 <= 97
    finally:
        folder.rmdir()


def test_only_the_lock_says_that_a_muster_runs(tmp_path):
    folder = runtime_dir(tmp_path)
    (folder / "up.json").write_text(json.dumps({"pid": os.getpid(), "port": 1}))
    assert read_state(tmp_path) == {}, "a file that a killed Muster left is nobody's lock"
    with only_one(folder) as lock:
        write_state(lock, pid=os.getpid(), port=8123, dashboard=8265)
        assert read_state(tmp_path)["port"] == 8123
        with pytest.raises(SettingsError, match="8123"), only_one(folder):
            pass
    assert read_state(tmp_path) == {}
    assert not folder.exists()
