"""The one place that asks ``torch.cuda`` for anything but computing. Tests put a fake in its place.

Ray shows a process only the GPU that it was given (``CUDA_VISIBLE_DEVICES``), so there is one device here, number 0.
"""

import sys
from typing import Protocol


class Cuda(Protocol):
    """What is asked of CUDA. Everything but ``problem`` needs a device."""

    def problem(self) -> str | None:
        """Why nothing can be computed on a GPU here; None when it can."""

    def memory(self) -> tuple[int, int]:
        """Bytes that are free on the device, for all processes together, and bytes that it has. Starts the context."""

    def name(self) -> str:
        """The device's, as ``nvidia-smi`` gives it too."""

    def flash(self) -> bool:
        """Whether the device has the kernels for variable-length attention in 16 bits (Ampere and later)."""

    def cap(self, fraction: float) -> None:
        """Let this process's allocator hold at most this part of the device's memory; beyond it, out of memory."""


class TorchCuda:
    """The real one."""

    def problem(self) -> str | None:
        import torch

        if torch.version.cuda is None:
            return f"torch {torch.__version__} is built without CUDA"
        return None if torch.cuda.is_available() else "torch finds no CUDA device"

    def memory(self) -> tuple[int, int]:
        import torch

        torch.cuda.init()
        free, total = torch.cuda.mem_get_info(0)
        return int(free), int(total)

    def name(self) -> str:
        import torch

        return str(torch.cuda.get_device_name(0))

    def flash(self) -> bool:
        import torch

        return bool(torch.cuda.get_device_capability(0) >= (8, 0))

    def cap(self, fraction: float) -> None:
        import torch

        torch.cuda.set_per_process_memory_fraction(fraction, 0)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether a pass failed for want of memory, the GPU's or the machine's. torch is looked up, never imported."""
    torch = sys.modules.get("torch")
    return isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError))
