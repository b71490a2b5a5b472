"""The ``muster`` command. Heavy imports happen inside the commands: ``--help`` answers at once."""

import typer

from serve_app.cli import ask, capabilities, heads, labels, models, observed, plan, serving, skills, write
from serve_app.cli.output import EXIT_CODES, guarded

app = typer.Typer(
    name="muster",
    help="One self-hosted deployment for a team's models: start it, ask it, look after its models.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
serving.register(app)
ask.register(app)
labels.register(app)
write.register(app)
capabilities.register(app)
plan.register(app)
app.add_typer(models.app, name="models")
observed.register(skills.app)
app.add_typer(skills.app, name="skills")
app.add_typer(heads.app, name="heads")


def main() -> None:
    """Entry point of the ``muster`` script."""
    guarded(app)


if __name__ == "__main__":
    main()
