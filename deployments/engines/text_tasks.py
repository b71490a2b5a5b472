"""The task of a stored model."""

from pathlib import Path

from deployments.engines.classification import Classification
from deployments.engines.embedding import Embedding
from deployments.engines.light_head import load_heads
from deployments.engines.pairs import PairReader
from deployments.engines.pooling import load_head
from deployments.engines.text_task import TextTask
from deployments.engines.tokens import EncoderFacts, TokenReader
from deployments.engines.zero_shot import ZeroShot
from model_store.stored_model import StoredModel


def load_task(stored: StoredModel, facts: EncoderFacts, folder: Path) -> TextTask:
    """Raises ``UnknownModule``. ``folder``: the artefact's."""
    if stored.task == "zero-shot":
        return ZeroShot(facts, PairReader(folder, facts, stored.key))
    reader = TokenReader(folder, facts, stored.key)
    if stored.task == "classification":
        return Classification(facts, reader)
    light = load_heads(stored.heads, facts.dimensions)
    return Embedding(facts, reader, load_head(stored.files), light)
