"""Toy models of every generating architecture, stored and proved as a pull would, and the answers of ``model.generate``."""

import hashlib
from functools import cache

from deployments.engines.generator import Generator
from model_store import prove
from model_store.catalogue import Catalogue, FolderSource, load_catalogue
from model_store.loading import load_model, load_tokenizer
from model_store.store import ModelStore
from model_store.stored_model import StoredModel
from tests.toy_models import toy_for
from tests.unit import tiny_models

KEYS = ("dialogpt-small", "mistral-7b-instruct", "phi-2", "bart-large-cnn", "flan-t5-large")
TEXTS = ("the end", "a", "Another text of the day that goes on and on for a while", "an " * 30)


@cache
def stored(key: str) -> StoredModel:
    original = load_catalogue().resolve(key)
    folder = tiny_models.root() / "generators" / key
    folder.mkdir(parents=True)
    toy_for(original, folder)
    kept = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".safetensors", ".jinja")]
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    update = {"source": FolderSource(path=folder), "files": files, "revision": "d" * 40, "fallback": ()}
    spec = original.model_copy(update=update)
    store = ModelStore(tiny_models.root() / "store", Catalogue(format=1, models=(spec,)), prover=_prove_in_this_process)
    store.adopt(spec)
    return store.open(key)


def engine(key: str, **settings: object) -> Generator:
    """A loaded generator with a batch of its own."""
    generator = Generator(stored(key), tiny_models.settings().model_copy(update=settings))
    generator.load()
    return generator


@cache
def reference(key: str):
    """transformers' own model and tokenizer, with typed special tokens as plain text."""
    model, tokenizer = load_model(stored(key).files, stored(key).task), load_tokenizer(stored(key).files)
    tokenizer.split_special_tokens = True
    return model, tokenizer


def expected(key: str, text: str, tokens: int, **options: object) -> list[int]:
    """The new tokens of ``model.generate``, greedy."""
    import torch

    model, tokenizer = reference(key)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    options = {"do_sample": False, "num_beams": 1, "max_new_tokens": tokens, **options}
    with torch.inference_mode():
        answer = model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0].tolist()
    return answer[1:] if model.config.is_encoder_decoder else answer[ids.shape[1] :]


def _prove_in_this_process(files, target, task, progress) -> None:
    prove.record(files, target, task)
