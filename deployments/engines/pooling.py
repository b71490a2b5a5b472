"""From hidden states to embeddings in numpy: pooling, dense layers and normalisation as ``modules.json`` says.

Hidden states come flat, (tokens, width), with the first row and the number of rows of each text; so padded and
padding-free engines share this code. The formulas are those of ``sentence_transformers``' modules.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Step = Callable[[Floats], Floats]

_LEGACY_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: Mapping[str, Step] = {
    "torch.nn.modules.activation.Tanh": np.tanh,
    "torch.nn.modules.linear.Identity": lambda values: values,
    "torch.nn.modules.activation.ReLU": lambda values: np.maximum(values, np.float32(0)),
}


class UnknownModule(Exception):
    """The model has a module, or a module an option, that only sentence-transformers itself computes."""


class Head:
    """Everything behind the transformer. ``modes`` are concatenated, then ``steps`` run on (texts, width) arrays."""

    def __init__(self, modes: tuple[str, ...], steps: tuple[Step, ...]) -> None:
        self.modes = modes
        self._poolers = [_POOLERS[mode] for mode in modes]
        self._steps = steps
        self.normalizes = bool(steps) and steps[-1] is normalize

    def __call__(self, hidden: Floats, starts: Ints, lengths: Ints) -> Floats:
        """(tokens, width) hidden states of non-empty texts -> (texts, dimensions)."""
        pooled = [pool(hidden, starts, lengths) for pool in self._poolers]
        return self.finish(pooled[0] if len(pooled) == 1 else np.concatenate(pooled, axis=1))

    def finish(self, values: Floats) -> Floats:
        """(texts, width of all modes together) pooled states -> (texts, dimensions)."""
        for step in self._steps:
            values = step(values)
        return np.asarray(values, dtype=np.float32)


def load_head(files: Path) -> Head:
    """Read ``modules.json`` and the modules' folders. Raises ``UnknownModule``."""
    modules = json.loads((files / "modules.json").read_bytes())
    kinds = [_kind(module["type"]) for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise UnknownModule(f"modules are {', '.join(kinds)}")
    steps = tuple(_step(kind, files / module["path"]) for kind, module in zip(kinds[2:], modules[2:], strict=True))
    return Head(_pooling_modes(files / modules[1]["path"]), steps)


def normalize(values: Floats) -> Floats:
    """Rows scaled to length 1; a zero row stays zero (torch's epsilon, 1e-12)."""
    lengths = np.sqrt(np.vecdot(values, values))
    return np.asarray(values / np.maximum(lengths, np.float32(1e-12))[:, None], dtype=np.float32)


def _kind(name: str) -> str:
    if not name.startswith("sentence_transformers."):
        raise UnknownModule(name)
    return name.rpartition(".")[2]


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    return json.loads(path.read_bytes()) if path.is_file() else {}


def _pooling_modes(folder: Path) -> tuple[str, ...]:
    config = _config(folder)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _LEGACY_MODES.items() if config.get(key)] or ["mean"]
    names = (modes,) if isinstance(modes, str) else tuple(modes)
    if not set(names) <= set(_POOLERS) or config.get("include_prompt") is False:
        raise UnknownModule(f"pooling {names}")
    return names


def _step(kind: str, folder: Path) -> Step:
    config = _config(folder)
    where = {config.get("module_input_name") or "sentence_embedding", config.get("module_output_name")}
    if kind not in ("Normalize", "Dense") or where - {"sentence_embedding", None}:
        raise UnknownModule(kind)
    return normalize if kind == "Normalize" else _dense(config, folder)


def _dense(config: dict[str, Any], folder: Path) -> Step:
    activation = _ACTIVATIONS.get(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    weights = folder / "model.safetensors"
    if activation is None or config.get("use_residual") or not weights.is_file():
        raise UnknownModule(f"dense layer with {sorted(config)}")
    from safetensors.numpy import load_file

    tensors = load_file(weights)
    matrix = np.ascontiguousarray(tensors["linear.weight"].T, dtype=np.float32)
    bias = np.asarray(tensors.get("linear.bias", np.zeros(matrix.shape[1])), dtype=np.float32)
    return lambda values: activation(values @ matrix + bias)


def _segments(reduce: np.ufunc, hidden: Floats, starts: Ints, lengths: Ints) -> Floats:
    """Reduce each text's rows. ``reduceat`` wants the gaps between texts as segments too; they are dropped."""
    if len(starts) == 1:
        # A quarter of the time of the general way, for interactive requests.
        return np.asarray(reduce.reduce(hidden[starts[0] : starts[0] + lengths[0]], axis=0)[None], dtype=np.float32)
    edges = np.stack([starts, starts + lengths], axis=1).ravel()
    if edges[-1] == len(hidden):
        edges = edges[:-1]
    return np.asarray(reduce.reduceat(hidden, edges, axis=0)[::2], dtype=np.float32)


def _divided(sums: Floats, by: npt.NDArray[Any]) -> Floats:
    return np.asarray(sums / by[:, None].astype(np.float32), dtype=np.float32)


def _mean(hidden: Floats, starts: Ints, lengths: Ints) -> Floats:
    return _divided(_segments(np.add, hidden, starts, lengths), lengths)


def _mean_sqrt(hidden: Floats, starts: Ints, lengths: Ints) -> Floats:
    return _divided(_segments(np.add, hidden, starts, lengths), np.sqrt(lengths))


def _weighted_mean(hidden: Floats, starts: Ints, lengths: Ints) -> Floats:
    weights = np.zeros((len(hidden), 1), dtype=np.float32)
    for start, length in zip(starts, lengths, strict=True):
        weights[start : start + length, 0] = np.arange(1, length + 1)
    return _divided(_segments(np.add, hidden * weights, starts, lengths), lengths * (lengths + 1) / 2)


_POOLERS: Mapping[str, Callable[[Floats, Ints, Ints], Floats]] = {
    "cls": lambda hidden, starts, lengths: hidden[starts],
    "lasttoken": lambda hidden, starts, lengths: hidden[starts + lengths - 1],
    "max": lambda hidden, starts, lengths: _segments(np.maximum, hidden, starts, lengths),
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
}
