"""``python -m benchmarks.store``: verifying a store against ``sha256sum`` on the same files, warm in the page cache.

Prints seconds and their ratio, per core: both get all cores (``xargs -P``), and the median of interleaved rounds counts.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from model_store.lock import Manifest, digest_file
from model_store.verify import verify_folder


def main() -> None:
    """Make files of random bytes, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5.0, help="size of the store in all")
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for name, value in measure(given.gigabytes, given.files, given.rounds).items():
        print(f"{name}: {value}")


def measure(gigabytes: float = 2.0, files: int = 8, rounds: int = 5) -> dict[str, float]:
    """Seconds of both, and the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        manifest = _fill(Path(folder), int(gigabytes * 1e9 / files), files)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(_timed(lambda: verify_folder(Path(folder), manifest).require()))
            theirs.append(_timed(lambda: _sha256sum(Path(folder))))
    return {
        f"verify {gigabytes:g} GB, s": round(statistics.median(ours), 2),
        "verify, GB/s": round(gigabytes / statistics.median(ours), 2),
        f"sha256sum, {os.cpu_count()} at a time, s": round(statistics.median(theirs), 2),
        "verify / sha256sum (<= 1.2)": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2),
    }


def _fill(folder: Path, size: int, count: int) -> Manifest:
    block, files = os.urandom(1 << 20), {}
    for number in range(count):
        path = folder / f"model-{number}.safetensors"
        with path.open("wb") as file:
            file.write(number.to_bytes(8, "little"))
            for _ in range(size >> 20):
                file.write(block)
        digest = digest_file(path)
        assert digest is not None
        files[path.name] = digest
    return Manifest(key="bench", id="bench/bench", revision="0" * 40, files=files)


def _sha256sum(folder: Path) -> None:
    names = sorted(str(path) for path in folder.iterdir())
    tool = shutil.which("sha256sum")
    if tool is None:
        raise SystemExit("This machine has no sha256sum to compare with.")
    command = ["xargs", "-P", str(os.cpu_count()), "-n", "1", tool]
    subprocess.run(command, input="\n".join(names), text=True, check=True, capture_output=True)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
