"""A model that writes, for measurements: a GPT-2 with random weights, and its application beside the starter fleet.

Random weights compute as long as trained ones. Every word is one token, and no answer ends before ``max_tokens``.
"""

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.server import Server
from benchmarks.topology import checked_in, deploy_topology
from model_store import prove
from model_store.catalogue import Catalogue, FolderSource, load_catalogue
from model_store.lock import digest_file
from model_store.store import ModelStore

KEY = "dialogpt-small"
"""The catalogue's name that it goes by; the weights are drawn here."""
LAYERS, WIDTH = 4, 384
"""Small: a stream of a hundred tokens takes about a second."""
VOCABULARY, HEADS, END = 50_256, 12, "<|endoftext|>"


def write_gpt2(folder: Path, layers: int, width: int) -> None:
    """Write config, weights and tokenizer; ``width`` is a multiple of 12."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    words = {f"w{number}": number for number in range(VOCABULARY)} | {END: VOCABULARY}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, unk_token=END)
    wrapped.save_pretrained(folder)
    config = transformers.GPT2Config(n_layer=layers, n_embd=width, n_head=HEADS)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def prompt(words: int, seed: int) -> str:
    """A text of that many tokens."""
    return " ".join(f"w{(seed * 997 + word * 31) % 50_000}" for word in range(words))


@contextmanager
def beside_the_fleet(server: Server) -> Iterator[str]:
    """The key of a small one, deployed while the context is open; the checked-in topology before and after."""
    store = ModelStore(server.home / "store")
    _adopt(store.root)
    topology = checked_in(server)
    topology["applications"].append(_application(topology["applications"][0]))
    try:
        deploy_topology(server, topology)
        server.wait_for(lambda states: states.get(KEY, {}).get("state") == "ready")
        yield KEY
    finally:
        deploy_topology(server, checked_in(server))
        server.wait_for(lambda states: KEY not in states)
        store.remove(KEY)


def _adopt(root: Path) -> None:
    """Bring it into the store as a pulled one would come in, but proved by this process, which has just made it."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        write_gpt2(Path(folder), LAYERS, WIDTH)
        digests = {path.name: digest_file(path) for path in Path(folder).iterdir()}
        changes: dict[str, Any] = {
            "source": FolderSource(path=Path(folder)),
            "files": {name: digest.sha256 for name, digest in digests.items() if digest is not None},
            "revision": "0" * 40,
            "fallback": (),
        }
        spec = load_catalogue().resolve(KEY).model_copy(update=changes)
        ModelStore(root, Catalogue(format=1, models=(spec,)), prover=_record).adopt(spec)


def _record(files: Path, target: Path, task: str, progress: Any) -> None:
    import torch

    threads = torch.get_num_threads()
    try:
        prove.record(files, target, task)
    finally:
        torch.set_num_threads(threads)


def _application(pattern: dict[str, Any]) -> dict[str, Any]:
    """An application like the starter's model, of one replica."""
    deployment = copy.deepcopy({**pattern["deployments"][0], "name": KEY})
    deployment["autoscaling_config"] |= {"min_replicas": 1, "initial_replicas": 1, "max_replicas": 1}
    return {
        "name": KEY,
        "route_prefix": None,
        "import_path": "serve_app.app:generator",
        "args": {"model": KEY},
        "deployments": [deployment],
    }
