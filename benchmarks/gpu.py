"""``python -m benchmarks.gpu``: the torch engines on this machine's GPU, against what its chip can do.

Full-size architectures with random weights, made on the device: nothing is downloaded and no weights touch the disk. First
the chip's two ceilings (a large matrix product, a large copy), then encoders and generation against them and against
transformers on the same weights. ``--tiny`` runs everything in toy sizes on the CPU, to see that it runs. Every part stops
at its share of ``--seconds``; what it had no time for is named. The table comes last, the figures go to ``--out`` as they
come.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENCODERS_PART = 0.55


@dataclass
class Bench:
    """Where it runs, until when, and what was found."""

    device: str
    tiny: bool
    rounds: int
    out: Path | None
    started: float = field(default_factory=time.monotonic)
    figures: dict[str, Any] = field(default_factory=dict)

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def record(self, section: str, name: str, found: Any) -> None:
        """Keep and write out at once: the machine may be gone before the end."""
        self.figures.setdefault(section, {})[name] = found
        print(f"[{self.elapsed():6.1f} s] {section}: {name}: {json.dumps(found)}", flush=True)
        if self.out:
            self.out.write_text(json.dumps(self.figures, indent=1), encoding="utf-8")

    def seconds(self, work: Callable[[], Any], warm: int = 1) -> float:
        """Median over rounds, the device waited for."""
        times = []
        for turn in range(warm + self.rounds):
            self.wait()
            started = time.perf_counter()
            work()
            self.wait()
            times += [time.perf_counter() - started] if turn >= warm else []
        return statistics.median(times)

    def wait(self) -> None:
        import torch

        if self.device != "cpu":
            torch.cuda.synchronize()

    def free(self) -> None:
        """Give the memory of what nobody holds any more back to the device."""
        import gc

        import torch

        gc.collect()
        if self.device != "cpu":
            torch.cuda.empty_cache()


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="for everything, imports not counted")
    parser.add_argument("--out", type=Path, help="JSON, written after every figure")
    parser.add_argument("--tiny", action="store_true", help="toy sizes on the CPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("encoders", "generation"))
    given = parser.parse_args(arguments)
    import torch
    import transformers

    from benchmarks import gpu_encoders, gpu_generation
    from benchmarks.gpu_table import show

    if not given.tiny and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here; --tiny runs toy sizes on the CPU.")
    transformers.logging.set_verbosity_error()
    if given.tiny:
        torch.set_num_threads(1)
    bench = Bench("cpu" if given.tiny else "cuda", given.tiny, given.rounds, given.out)
    bench.record("machine", "name", "CPU" if given.tiny else torch.cuda.get_device_name(0))
    bench.record("machine", "versions", {"torch": torch.__version__, "transformers": transformers.__version__})
    ceilings(bench)
    bench.free()
    if given.only != "generation":
        gpu_encoders.measure(bench, given.seconds * (1 if given.only else ENCODERS_PART))
    if given.only != "encoders":
        gpu_generation.measure(bench, given.seconds)
    bench.record("machine", "seconds", round(bench.elapsed(), 1))
    show(bench.figures)


def ceilings(bench: Bench) -> None:
    """TFLOP/s of a matrix product on random data, by type; TB/s of a copy, bytes read and written."""
    import torch

    size = 256 if bench.tiny else 8192
    for name in ("bfloat16", "float16", "float32"):
        left, right = (torch.randn(size, size, device=bench.device).to(getattr(torch, name)) for _ in range(2))
        found = bench.seconds(lambda left=left, right=right: [left @ right for _ in range(4)]) / 4  # type: ignore[misc]
        bench.record("ceilings", f"{name} TFLOP/s", round(2 * size**3 / found / 1e12, 6))
    source = torch.randint(0, 255, (2**20 if bench.tiny else 2**32,), dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    found = bench.seconds(lambda: target.copy_(source))
    bench.record("ceilings", "copy TB/s", round(2 * source.numel() / found / 1e12, 4))


if __name__ == "__main__":
    main()
