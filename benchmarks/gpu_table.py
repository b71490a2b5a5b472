"""The figures of ``benchmarks.gpu`` as a table narrow enough for the end of a log."""

from typing import Any


def show(figures: dict[str, Any]) -> None:
    """Print what was measured, and name what was not."""
    print(f"\n{figures['machine']['name']}, {figures['machine']['versions']}")
    print("ceilings:", ", ".join(f"{name} {value:g}" for name, value in figures["ceilings"].items()))
    peak = figures["ceilings"]["float16 TFLOP/s"]
    if "encoders" in figures:
        print("\nencoders, 1000 tokens/s (part of the fp16 product's rate)")
        columns = ("fp16", "one pass", "a batch", "fp32", "tf 32", "tf 64s", "1 text, ms", "fp16-cpu", "fp32-cpu")
        print(f"{'':26}" + "".join(f"{column:>12}" for column in columns))
        for name, found in figures["encoders"].items():
            print(f"{name:26}" + (_encoder(found, figures["differences"], name, peak) if "texts" in found else found))
    if "generation" in figures:
        print("\ngeneration, a step of so many rows, ms; floor: weights and cache at the copy rate")
        titles = ("ours", "floor", "of it", "tokens/s", "sampled", "unrecorded", "generate", "times")
        print(f"{'':28}" + "".join(f"{title:>11}" for title in titles))
        for name, found in figures["generation"].items():
            print(f"{name:28}" + (_generation(found) if isinstance(found, dict) else found))
    for name, found in figures.get("prefill", {}).items():
        part = found["of the product's rate"]
        print(f"prefill {name}: {found['tokens/s']:,} tokens/s, {part:.0%} of the bf16 product's rate")


def _encoder(found: dict[str, Any], differences: dict[str, Any], name: str, peak: float) -> str:
    def rate(what: str) -> str:
        value = found.get(f"{what}, tokens/s")
        if value is None:
            return "-"
        spent = found.get(f"{what}, s")
        part = f" {found['TFLOP'] / spent / peak:.0%}" if spent else ""
        return f"{value / 1000:.0f}{part}"

    whats = ("fp16", "fp16, one pass", "fp16, a replica's batch", "fp32")
    others = ("transformers fp16, 32 a batch", "transformers fp16, 64 sorted")
    gaps = differences[name.rpartition(",")[0]]
    cells = [*(rate(what) for what in (*whats, *others)), f"{found['fp16, one text, ms']:.2f}"]
    return "".join(f"{cell:>12}" for cell in (*cells, f"{gaps['fp16']:.0e}", f"{gaps['fp32']:.0e}"))


def _generation(found: dict[str, Any]) -> str:
    whats = ("step, ms", "copy rate's step, ms", "of it", "tokens/s", "step of sampled rows, ms", "unrecorded step, ms")
    return "".join(f"{found.get(what, '-'):>11}" for what in (*whats, "generate's step, ms", "times generate"))
