"""Which tokens of a pair of texts belong to the second: all behind the first separator, of which typed text has none."""

from typing import Any


def token_types(ids: Any, separator: int) -> Any:
    """0 for the first text's tokens, 1 for the second's; ``ids`` an array or a tensor, (..., tokens)."""
    # Arithmetic alone, which arrays, tensors and exported graphs have in common.
    separators = 1 - abs(ids - separator).clip(0, 1)
    return (separators.cumsum(-1) - separators).clip(0, 1)
