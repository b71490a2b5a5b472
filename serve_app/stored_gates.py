"""The accuracy gates in this node's store, as ``/v1/models`` shows them."""

from typing import Any

from model_store.errors import ModelStoreError
from model_store.gate import Reduced
from model_store.store import ModelStore


class StoredGates:
    """Looks each time: the file is small, and a gate may be run while the gateway is up. Every node has the store."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def __call__(self, key: str, backend: str | None = None) -> dict[str, Any] | None:
        """The record of a model's gate, passed or not; None where none was run or nothing can be read.

        Of two gates the one that ``backend`` serves behind, else that of 8 bits.
        """
        order: tuple[Reduced, ...] = ("fp16", "int8") if str(backend).endswith("fp16") else ("int8", "fp16")
        try:
            gate = self._store.gate(key, order[0]) or self._store.gate(key, order[1])
        except ModelStoreError:
            return None
        return None if gate is None else gate.model_dump()
