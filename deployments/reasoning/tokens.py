"""How many tokens a prompt has: counted with OpenAI's own table where that is on this machine, else estimated.

tiktoken fetches a table that it has not got, with no time limit. It is therefore only asked for tables that lie in the
prepared folder with the right digest, and only when a replica starts.
"""

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deployments.reasoning.prompt import Message
from deployments.settings import tiktoken_folder

CHARACTERS_PER_TOKEN = 3.5
PER_MESSAGE, PER_REQUEST = 4, 2
TABLES = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}
"""File name in tiktoken's cache folder and sha256 of the content."""
_OLD = ("gpt-4", "gpt-3.5", "text-embedding-3")
_NEW = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "o1", "o3", "o4")
SAFE_LIMITS = {"gpt-4o": 120_000, "gpt-4-turbo": 120_000, "gpt-4": 6_000, "gpt-3.5-turbo": 14_000}
OTHER_LIMIT = 100_000
_log = logging.getLogger("ray.serve.muster")


def encoding_for(model: str) -> str:
    """The table of a model. One that nobody knows is counted with the newest; tiktoken itself would refuse it."""
    name = model.rsplit("/", 1)[-1].lower()
    return "cl100k_base" if name.startswith(_OLD) and not name.startswith(_NEW) else "o200k_base"


def safe_limit(model: str) -> int:
    """Prompt tokens that a model surely reads beside its answer."""
    known = [prefix for prefix in SAFE_LIMITS if model.startswith(prefix)]
    return SAFE_LIMITS[max(known, key=len)] if known else OTHER_LIMIT


class TokenCounter:
    """Counts messages. ``estimated``: there is no table, figures are characters / 3.5."""

    def __init__(self, count: Callable[[str], int] | None) -> None:
        self._count = count or (lambda text: math.ceil(len(text) / CHARACTERS_PER_TOKEN))
        self.estimated = count is None

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of a request: of each role and text, and what the chat format puts around them."""
        texts = sum(self._count(part) for message in messages for part in (message["role"], message["content"]))
        return texts + PER_MESSAGE * len(messages) + PER_REQUEST


def load_counter(model: str, folder: Path | None) -> TokenCounter:
    """The counter of a model; reads a file of some megabytes, so not for an event loop. Never fetches, never raises."""
    name = encoding_for(model)
    file, digest = TABLES[name]
    try:
        if folder is None or hashlib.sha256((folder / file).read_bytes()).hexdigest() != digest:
            raise FileNotFoundError(name)
        encoding = _encoding(name, folder)
    except Exception as error:  # noqa: BLE001 - counting by estimate is always possible
        _log.warning("No table %s for tokens (%s): prompts are counted by estimate.", name, type(error).__name__)
        return TokenCounter(None)
    return TokenCounter(lambda text: len(encoding.encode(text, disallowed_special=())))


def _encoding(name: str, folder: Path) -> Any:
    import tiktoken

    with tiktoken_folder(folder):
        return tiktoken.get_encoding(name)
