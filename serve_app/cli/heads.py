"""``muster heads``: the light classifiers on the starter's embedding model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON

if TYPE_CHECKING:
    from deployments.heads.train import Embed

app = typer.Typer(help="Light heads on the starter's embedding model.", no_args_is_help=True, rich_markup_mode=None)
TEXTS_AT_ONCE = 1024


@app.callback()
def _group() -> None:
    """Keeps ``train`` a subcommand while it is the only one."""


@app.command()
def train(
    data: Annotated[Path, typer.Option("--data", help="Folder with the files of GoEmotions.", file_okay=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder for the heads.", file_okay=False)] = Path(),
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 42,
    json: JSON = False,
) -> None:
    """Train the emotion and sentiment heads; the catalogue takes one over by its sha256."""
    from deployments.heads.train import train_heads

    trained = train_heads(data, _embed(), seed, say)
    out.mkdir(parents=True, exist_ok=True)
    for head in trained:
        (out / f"{head.key}.safetensors").write_bytes(head.content)
    rows = [{"key": head.key, "labels": head.labels, "sha256": head.sha256, **head.figures} for head in trained]
    if json:
        emit(rows)
    else:
        headings = ("head", "accuracy", "macro-F1", "sha256")
        table(headings, [(r["key"], f"{r['accuracy']:.3f}", f"{r['macro_f1']:.3f}", r["sha256"]) for r in rows])


def _embed() -> "Embed":
    """The base model of the catalogue's heads, on the CPU, whatever it runs on later."""
    import numpy as np

    from deployments.engines.onnx_encoder import OnnxEncoder
    from deployments.heads.train import HEADS
    from deployments.settings import load_settings
    from model_store.catalogue import load_catalogue
    from model_store.settings import load_settings as load_store_settings
    from model_store.store import ModelStore

    catalogue, store = load_catalogue(), ModelStore(load_store_settings().store_dir)
    base = catalogue.host_of(catalogue.resolve(next(iter(HEADS))))
    store.adopt(base, progress=say)
    engine = OnnxEncoder(store.open(base.key), load_settings())
    engine.load()

    def embed(texts: tuple[str, ...]) -> "np.ndarray":
        parts = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
        return np.concatenate([engine.encode(part, "window") for part in parts])

    return embed
