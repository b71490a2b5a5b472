"""``muster models quantize``: a model in 8 bits, or in 16 on a GPU, behind the accuracy gate."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.output import FAILED, emit, say, table
from serve_app.cli.serving import JSON

if TYPE_CHECKING:
    from model_store.gate import Gate

_DATA = {"embedding": "--sts", "classification": "--texts", "zero-shot": "--texts"}


class PrecisionName(StrEnum):
    """``int8``: on a CPU; ``fp16``: on the GPU of this machine."""

    int8 = "int8"
    fp16 = "fp16"


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(quantize)


def quantize(
    key: Annotated[str, typer.Argument(help="Key, hub id or role of a model in the store.")],
    sts: Annotated[
        Path | None,
        typer.Option("--sts", help="CSV that judges an embedding model: text, text, how alike.", dir_okay=False),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="Texts that judge a classifier, one a line.", dir_okay=False)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A label that a zero-shot model chooses from; repeatable.")
    ] = None,
    precision: Annotated[
        PrecisionName, typer.Option("--precision", help="int8 for CPUs, or fp16 for this machine's GPU.")
    ] = PrecisionName.int8,
    json: JSON = False,
) -> None:
    """Measure what a model loses and gains in 8 bits, or in 16 on a GPU, and keep what passes the accuracy gate."""
    from deployments.half_precision import halve
    from deployments.quantization import quantize as eight_bits
    from deployments.settings import load_settings
    from model_store.catalogue import load_catalogue
    from model_store.settings import load_settings as load_store_settings
    from model_store.store import ModelStore

    spec, wanted = load_catalogue().resolve(key), load_store_settings()
    option = _DATA.get(spec.task)
    if option is None:
        raise typer.BadParameter(f"{spec.key}: there is no {precision} backend for {spec.task}.")
    data, other = (sts, texts) if option == "--sts" else (texts, sts)
    if data is None or other is not None:
        raise typer.BadParameter(f"{spec.key} is judged by {option} FILE.")
    run = halve if precision == PrecisionName.fp16 else eight_bits
    gate = run(
        ModelStore(wanted.store_dir), spec.key, data, load_settings(), lambda m: say(f"{spec.key}: {m}"), label or ()
    )
    _show(spec.key, gate, json)
    if wanted.signing_key is not None:
        say(f"Only signed models serve here: `muster models sign {spec.key} --key ...` signs it again.")
    if not gate.passed:
        raise typer.Exit(FAILED)


def _show(key: str, gate: "Gate", json: bool) -> None:
    """The figures, as a table or as JSON."""
    if json:
        emit(gate.model_dump())
        return
    drop = f"{gate.drop_points:.3f} points of {gate.allowed_points:g} allowed"
    rows = [
        ("accuracy gate", "passed" if gate.passed else f"failed; nothing serves in {gate.precision}"),
        (f"{gate.metric} in fp32", f"{gate.before:.5f}"),
        (f"{gate.metric} in {gate.precision}", f"{gate.after:.5f}"),
        ("drop", drop),
        *((f"speed, {name.replace('_', ' ')}", f"{ratio:.2f} times fp32") for name, ratio in gate.speed.items()),
        ("measured with", f"{gate.items} items, {gate.runtime}, {gate.processor}"),
    ]
    table((key, ""), rows)
    if gate.passed:
        wanted = gate.precision
        say(f"`muster plan --precision {wanted} --write` serves it, or `precision: {wanted}` in the args of {key}.")
