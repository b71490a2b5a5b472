"""``python -m benchmarks.gpu --tiny``: every part of it runs, on the CPU."""

import json

from benchmarks import gpu, gpu_encoders, gpu_generation


def test_every_part_runs_in_toy_sizes(tmp_path, capsys):
    out = tmp_path / "figures.json"
    gpu.main(["--tiny", "--rounds", "1", "--seconds", "600", "--out", str(out)])
    figures = json.loads(out.read_text())
    assert set(figures) == {"machine", "ceilings", "differences", "encoders", "generation", "prefill"}
    assert set(figures["encoders"]) == {f"{name}, {kind}" for name in gpu_encoders.SHAPES for kind in ("mixed", "long")}
    assert all(found["fp16, tokens/s"] > 0 for found in figures["encoders"].values())
    # The engine in fp32 on the CPU is the one that it is compared with.
    assert all(found["fp32"] == 0 < found["fp16"] < 1e-2 for found in figures["differences"].values())
    assert set(figures["generation"]) == {f"{name}, 2 rows" for name in gpu_generation.KINDS}
    shown = capsys.readouterr().out
    assert all(name in shown.rpartition("ceilings: ")[2] for name in (*gpu_encoders.SHAPES, *gpu_generation.KINDS))


def test_what_there_was_no_time_for_is_named(tmp_path):
    out = tmp_path / "figures.json"
    gpu.main(["--tiny", "--rounds", "1", "--seconds", "0", "--out", str(out)])
    figures = json.loads(out.read_text())
    assert set(figures["encoders"].values()) == set(figures["generation"].values()) == {"no time left"}
