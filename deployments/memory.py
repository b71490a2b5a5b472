"""Whether a model fits into what is left of this machine's memory, and of its GPU's, looked at before it is loaded.

The plan has decided once; machines change. A model that does not fit is refused with the numbers, and the rest serve on;
without the check the kernel would end some process, and not necessarily the new one.
"""

import psutil

from deployments.engines.cuda import Cuda, TorchCuda
from deployments.engines.device import CPU, Device
from deployments.errors import DoesNotFit
from model_store import control_groups
from model_store.safetensors_header import elements
from model_store.stored_model import StoredModel

ONCE_MORE = 2.0
"""While a model is loaded its weights exist twice: as read, and in the layout of the kernels or on the GPU."""
HEADROOM = 128 * 2**20
"""Bytes for the tokenizer, activations and the batches on their way."""
CONTEXT = 512 * 2**20
"""Bytes of a GPU share that the CUDA context and the libraries' kernels are left; torch's allocator knows nothing of
them, and all processes of a GPU must fit side by side. The plan counts on them too (``footprint.PROCESS_MB``)."""


def require_room(stored: StoredModel, device: Device = CPU, cuda: Cuda | None = None) -> None:
    """Raises ``DoesNotFit`` when the model's weights would not fit into the memory that is free now.

    On a GPU it also takes hold of the replica's share: from here on torch allocates no more than that.
    """
    needed, free = bytes_to_load(stored, device), free_bytes()
    if needed > free:
        raise DoesNotFit(stored.key, needed, free)
    if device.kind == "cuda":
        _claim_share(stored, device.share, cuda or TorchCuda())


def bytes_to_load(stored: StoredModel, device: Device = CPU) -> int:
    """RAM that loading takes at its peak: for the graph, or for the safetensors on a GPU and where there is no graph."""
    graph = _graph_bytes(stored) if device.kind == "cpu" else 0
    return int((graph or _weight_bytes(stored, device)) * ONCE_MORE) + HEADROOM


def share_bytes(share: float, total: int) -> int:
    """Bytes of a GPU share that torch may allocate."""
    return max(0, int(total * share) - CONTEXT)


def half(task: str, device: Device) -> bool:
    """Whether a model computes in 16 bits: a generation reads all weights for every token."""
    return device.kind == "cuda" and task == "generation"


def free_bytes() -> int:
    """RAM that may still be used: the machine's, or the control groups' where that is less."""
    free, left = int(psutil.virtual_memory().available), control_groups.memory_left()
    return free if left is None else min(free, left)


def _claim_share(stored: StoredModel, share: float, cuda: Cuda) -> None:
    """Raises ``DoesNotFit`` when the weights need more than the share, or more than others have left of the GPU."""
    free, total = cuda.memory()
    needed, own = _weight_bytes(stored, Device("cuda", share)) + HEADROOM, share_bytes(share, total)
    if needed > own:
        raise DoesNotFit(stored.key, needed, own, f"its share of the GPU ({share:g} of {total / 2**20:.0f} MiB)")
    if needed > free:
        raise DoesNotFit(stored.key, needed, free, "the GPU")
    cuda.cap(own / total)


def _graph_bytes(stored: StoredModel) -> int:
    folder = stored.folder / stored.artefact.folder if stored.artefact else None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in (".onnx", ".data")) if folder else 0


def _weight_bytes(stored: StoredModel, device: Device) -> int:
    """All weights in float32, whatever they are stored in: that is what engines compute with. On a GPU 16 bits where the
    model was opened so, and for generation."""
    size = 2 if stored.precision == "fp16" or half(stored.task, device) else 4
    return size * sum(elements(path) for path in stored.files.rglob("*.safetensors"))
