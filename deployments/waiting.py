"""Why a replica is not placed, out of what Serve says of its deployment."""

import json
import re

_UNPLACED = re.compile(r"Resources required for each replica: (\{.*?\}), total resources available: (\{.*?\})\.")


def lacking(message: str) -> str | None:
    """What a replica needs and what the node has left of it; None where nothing waits for room.

    Serve says it of a deployment once a replica of it was not placed for ``RAY_SERVE_SLOW_STARTUP_WARNING_S``; on a busy
    machine that takes long although there is room, which is no reason to give up.
    """
    found = _UNPLACED.search(message)
    if found is None:
        return None
    needed, left = (json.loads(text) for text in found.groups())
    if all(left.get(name, 0.0) >= amount for name, amount in needed.items()):
        return None
    parts = [f"{amount:g} {name} ({round(left.get(name, 0.0), 2):g} left)" for name, amount in needed.items()]
    return f"it waits for room: a replica needs {' and '.join(parts)}"
