"""The accuracy gates in this node's store, as ``/v1/models`` shows them."""

from typing import Any

from model_store.errors import ModelStoreError
from model_store.store import ModelStore


class StoredGates:
    """Looks each time: the file is small, and a gate may be run while the gateway is up. Every node has the store."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def __call__(self, key: str) -> dict[str, Any] | None:
        """The record of a model's gate, passed or not; None where none was run or nothing can be read."""
        try:
            gate = self._store.gate(key)
        except ModelStoreError:
            return None
        return None if gate is None else gate.model_dump()
