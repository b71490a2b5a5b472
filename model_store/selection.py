"""Which files of a repository belong to a model: weights in one format, configuration, tokenizer; nothing else."""

import re
from collections.abc import Iterable

from model_store.errors import SourceUnavailable

_CONFIGURATION = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config"
    r"|modules|sentence_bert_config|config_sentence_transformers)\.json"
    r"|vocab\.txt|merges\.txt|chat_template\.jinja|README\.md"
    r"|(spiece|sentencepiece(\.bpe)?|tokenizer)\.model"
    # The modules of sentence-transformers behind the first: pooling, dense layers.
    r"|[0-9]+_[A-Za-z]+/config\.json"
)
_SAFE = re.compile(r"([0-9]+_[A-Za-z]+/)?model(-[0-9]{5}-of-[0-9]{5})?\.safetensors|model\.safetensors\.index\.json")
_PICKLED = re.compile(r"([0-9]+_[A-Za-z]+/)?pytorch_model(-[0-9]{5}-of-[0-9]{5})?\.bin|pytorch_model\.bin\.index\.json")


def needed(names: Iterable[str]) -> list[str]:
    """The files to fetch, sorted; pickled weights only of a folder that has no safetensors.

    Raises ``SourceUnavailable`` when there are no weights that could be read, or no ``config.json``.
    """
    names = set(names)
    wanted = {name for name in names if _CONFIGURATION.fullmatch(name) or _SAFE.fullmatch(name)}
    safe = {_folder(name) for name in wanted if name.endswith(".safetensors")}
    wanted |= {name for name in names if _PICKLED.fullmatch(name) and _folder(name) not in safe}
    if "config.json" not in wanted:
        raise SourceUnavailable("The repository has no config.json; it is not a model that Muster can serve.")
    if not any(is_weights(name) and not _folder(name) for name in wanted):
        raise SourceUnavailable("The repository has neither model.safetensors nor pytorch_model.bin.")
    return sorted(wanted)


def is_pickled(name: str) -> bool:
    """Whether a file must be converted before it may enter the store, or belongs to one that must."""
    return _PICKLED.fullmatch(name) is not None


def is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
