"""sha256 of parts."""

import hashlib
from collections.abc import Iterable


def sha256_of(parts: Iterable[bytes]) -> str:
    """Hex digest of the parts, one after the other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
