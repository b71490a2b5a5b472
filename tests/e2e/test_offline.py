"""After a pull nothing needs a network: every architecture loads and answers where only loopback exists."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.server import Server
from tests.e2e.offline import ARCHITECTURES
from tests.e2e.test_operations import KEY


def test_every_architecture_serves_or_proves_itself_and_asks_no_hub(server: Server, home: Path, tmp_path: Path) -> None:
    # The starter fleet of a second start: what it is made from came with the packages.
    for part in (f"models/{KEY}", "skills"):
        shutil.copytree(home / "store" / part, tmp_path / "home" / "store" / part)
    isolation = [sys.executable, "-m", "benchmarks.isolation"]
    # Some kernels give no name space; the counter counts there too.
    isolated = subprocess.run([*isolation, "true"], capture_output=True).returncode == 0
    command = [*(isolation if isolated else ()), sys.executable, "-m", "tests.e2e.offline", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HF_"))}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**environment, "MUSTER_HOME": str(tmp_path / "home")}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["alone"] or not isolated
    assert report["pulling"] > 5 * len(ARCHITECTURES)
    assert report["serving"] == 0
    assert set(report["handles"]) >= {spec.key for spec in ARCHITECTURES.values() if spec.task == "embedding"}
    assert sorted(report["handles"] + report["children"]) == sorted(spec.key for spec in ARCHITECTURES.values())
