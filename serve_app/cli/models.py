"""``muster models``: what the store holds, and whether it is what the lock says."""

from typing import Annotated

import typer

from serve_app.cli.output import DAMAGED, emit, say, table
from serve_app.cli.serving import JSON

app = typer.Typer(help="Models in the store.", no_args_is_help=True, rich_markup_mode=None)
Keys = Annotated[list[str] | None, typer.Argument(help="Catalogue keys; all when none is given.")]
