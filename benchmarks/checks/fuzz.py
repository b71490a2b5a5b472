"""Requirement 6, the fuzzing half: schemathesis against the running server's own OpenAPI, negative data on."""

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from benchmarks.checks.verdict import Verdict

TIMEOUT_S = 1200
GENERATED = re.compile(r"(\d+) generated")


def measure(url: str, examples: int) -> Verdict:
    """Positive and negative data for every operation; a 5xx is a failure, and so is a server that is gone afterwards."""
    verdict = Verdict("schemathesis finds no 5xx")
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{url}/openapi.json",
        "--checks=not_a_server_error",
        "--mode=all",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={examples}",
        "--seed=1",
        "--no-color",
        "--generation-database=none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    generated = GENERATED.findall(done.stdout)
    verdict.figures["requests"] = int(generated[-1]) if generated else 0
    if done.returncode:
        verdict.figures["report"] = done.stdout[-1500:]
    verdict.require("no server error", done.returncode == 0)
    with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
        verdict.require("the server still answers", answer.status == 200)
    return verdict
