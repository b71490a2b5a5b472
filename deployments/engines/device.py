"""Where an engine computes, and how much of it is its own."""

import logging
from dataclasses import dataclass
from typing import Literal

from deployments.engines.cuda import Cuda, TorchCuda

logger = logging.getLogger("ray.serve.muster")


@dataclass(frozen=True, slots=True)
class Device:
    """``share``: part of the GPU's memory that belongs to this replica, above 0 and up to 1; 0 on a CPU.

    ``kind`` is also torch's name of the device.
    """

    kind: Literal["cpu", "cuda"]
    share: float = 0.0


CPU = Device("cpu")


def choose_device(model: str, share: float, cuda: Cuda | None = None) -> Device:
    """The device for a replica that was given ``share`` GPUs.

    A share that nothing can be computed on (a logical GPU, a torch without CUDA) is served from the CPU: slower, with
    the same answers, and said aloud. A share beyond one GPU is one GPU: a model is not split.
    """
    if share <= 0:
        return CPU
    problem = (cuda or TorchCuda()).problem()
    if problem is None:
        return Device("cuda", min(1.0, share))
    logger.warning("%s has %g of a GPU and computes on the CPU all the same: %s.", model, share, problem)
    return CPU
