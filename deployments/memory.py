"""Whether a model fits into what is left of this machine's memory, looked at before it is loaded.

The plan has decided once; machines change. A model that does not fit is refused with the numbers, and the rest serve on;
without the check the kernel would end some process, and not necessarily the new one.
"""

from pathlib import Path

import psutil

from deployments.errors import DoesNotFit
from model_store.store import StoredModel

ONCE_MORE = 2.0
"""While a graph is loaded its weights exist twice: as read, and in the layout of the kernels."""
HEADROOM = 128 * 2**20
"""Bytes for the tokenizer, activations and the batches on their way."""
_GROUPS = (
    # Folder, limit, use, and the cache that the kernel gives back, of a container's control group, version 2 and 1.
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def require_room(stored: StoredModel) -> None:
    """Raises ``DoesNotFit`` when the model's weights would not fit into the memory that is free now."""
    needed, free = bytes_to_load(stored), free_bytes()
    if needed > free:
        raise DoesNotFit(stored.key, needed, free)


def bytes_to_load(stored: StoredModel) -> int:
    """What loading takes at its peak: the weights of the graph, or of the safetensors where there is none."""
    folder = stored.folder / stored.artefact.folder if stored.artefact else stored.files
    weights = sum(
        path.stat().st_size for path in folder.rglob("*") if path.suffix in (".onnx", ".safetensors", ".data")
    )
    return int(weights * ONCE_MORE) + HEADROOM


def free_bytes() -> int:
    """Memory that may still be used: the machine's, or the control group's where that is less."""
    free = int(psutil.virtual_memory().available)
    for folder, limit, used, cache in _GROUPS:
        group = Path(folder)
        try:
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            in_use = int((group / used).read_text()) - int(statistics.get(cache, 0))
            free = min(free, int((group / limit).read_text()) - in_use)
        except (OSError, ValueError):
            # No such group, or no limit ("max").
            continue
    return free
