"""This machine's processor: its name, and its kind as far as integer arithmetic goes."""

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_MATTER = ("amx_int8", "asimddp", "avx2", "avx512_vnni", "avx512bw", "avx_vnni", "i8mm", "sve2")


def name(cpuinfo: Path = CPUINFO) -> str:
    """As the kernel gives it, else the architecture."""
    return _field(cpuinfo, "model name") or platform.processor() or platform.machine()


def kind(cpuinfo: Path = CPUINFO) -> str:
    """Equal for processors that multiply 8-bit numbers alike: the architecture and the instructions that matter.

    Without such instructions sums of products are cut to 16 bits on the way, and a graph loses more than elsewhere.
    """
    flags = set((_field(cpuinfo, "flags") or _field(cpuinfo, "Features")).split())
    return " ".join([platform.machine(), *(flag for flag in _MATTER if flag in flags)])


def _field(cpuinfo: Path, wanted: str) -> str:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == wanted), "")
