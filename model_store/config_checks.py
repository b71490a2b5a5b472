"""The rules for what a model's JSON files say. Every check raises ``BadConfig``."""

import re
from typing import Any

from model_store.config_keys import ALLOWED, names_code

MAX_TEMPLATE_CHARS = 256 << 10
_MAX_INT = 2**31
_MAX_LAYERS = 1024
_DTYPES = (None, "auto", "float64", "float32", "float16", "bfloat16")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_WEIGHTS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")


class BadConfig(ValueError):
    """A file says something that may not enter the store; the message names the key."""


def check_names(value: Any) -> None:
    """No key that chooses code, at any depth."""
    if isinstance(value, list):
        for entry in value:
            check_names(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            if names_code(key):
                raise BadConfig(f"the key {_shown(key)} chooses code")
            check_names(entry)


def check_model_config(config: Any, family: str) -> None:
    """``config.json`` beside the weights."""
    if not isinstance(config, dict):
        raise BadConfig("it is not an object")
    if config.get("model_type") != family:
        raise BadConfig(f"its model_type is not {family!r}")
    unknown = sorted(config.keys() - ALLOWED.get(family, frozenset()))
    if unknown:
        raise BadConfig(f"the key {_shown(unknown[0])} is not known for {family!r}")
    for key in ("dtype", "torch_dtype"):
        if config.get(key) not in _DTYPES:
            raise BadConfig(f"its {key} is not one of a model's weights")
    _check_classes(config, "tokenizer_class")
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list) or not all(map(_is_identifier, architectures)):
        raise BadConfig("its architectures are not plain class names")
    _check_sizes(config)


def check_tokenizer_config(config: Any) -> None:
    """``tokenizer_config.json``."""
    if not isinstance(config, dict):
        raise BadConfig("it is not an object")
    _check_classes(config, "tokenizer_class", "processor_class")
    for key in ("vocab_file", "merges_file", "tokenizer_file"):
        # The tokenizer would open this path instead of the file beside it.
        if re.search(r"[/\\]", str(config.get(key) or "")):
            raise BadConfig(f"its {key} is a path")
    check_template(config.get("chat_template"))


def check_template(template: Any) -> None:
    """A chat template: one text, or a list of named ones."""
    for entry in template if isinstance(template, list) else [template]:
        text = entry.get("template") if isinstance(entry, dict) else entry
        if text is not None and not isinstance(text, str):
            raise BadConfig("its chat template is not a text")
        if text and len(text) > MAX_TEMPLATE_CHARS:
            raise BadConfig(f"its chat template has more than {MAX_TEMPLATE_CHARS} characters")


def check_modules(modules: Any) -> None:
    """``modules.json``: sentence-transformers imports each ``type``."""
    if not isinstance(modules, list):
        raise BadConfig("it is not a list")
    for module in modules:
        kind, path = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not _DOTTED.fullmatch(kind) or not kind.startswith("sentence_transformers."):
            raise BadConfig("a module's type is not a class of sentence_transformers")
        if not isinstance(path, str) or (path and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", path)):
            raise BadConfig("a module's path is not a folder beside the file")


def check_module_config(config: Any) -> None:
    """``1_Pooling/config.json`` and its like: a dotted name there is imported, for example a dense layer's activation."""
    if not isinstance(config, dict):
        raise BadConfig("it is not an object")
    for key, value in config.items():
        if isinstance(value, str) and _DOTTED.fullmatch(value) and not value.startswith("torch.nn."):
            raise BadConfig(f"its {_shown(key)} names code")


def check_index(index: Any, present: frozenset[str]) -> None:
    """``*.safetensors.index.json``: which shard has which tensor. Every shard lies beside it."""
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict) or not shards:
        raise BadConfig("it has no weight_map")
    for shard in shards.values():
        if not isinstance(shard, str) or not _WEIGHTS.fullmatch(shard) or shard not in present:
            raise BadConfig("its weight_map names a file that is not weights beside it")


def _check_classes(config: dict[str, Any], *keys: str) -> None:
    for key in keys:
        value = config.get(key)
        if value is not None and not _is_identifier(value):
            raise BadConfig(f"its {key} is not a plain class name")


def _check_sizes(value: Any, key: str = "") -> None:
    """No number that would build a network too large to build."""
    if isinstance(value, dict):
        for name, entry in value.items():
            _check_sizes(entry, name)
    elif isinstance(value, list):
        for entry in value:
            _check_sizes(entry, key)
    elif isinstance(value, int):
        limit = _MAX_LAYERS if key.endswith(("layer", "layers")) else _MAX_INT
        if abs(value) > limit:
            raise BadConfig(f"its {_shown(key)} is larger than {limit}")


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _shown(key: str) -> str:
    return ascii(key[:64])
