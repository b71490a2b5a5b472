"""How the CLI speaks: data on stdout (a table, or JSON with ``--json``), prose on stderr, errors as one sentence."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from deployments.errors import UnusableData
from model_store.errors import ModelNotPulled, MusterError, TamperedModel, UnknownModel, UntrustedArtefact
from serve_app.errors import SettingsError

OK, FAILED, USAGE, UNREACHABLE, DAMAGED = 0, 1, 2, 3, 4
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 Muster does not answer, 4 a model is damaged."


class Unreachable(MusterError):
    """No Muster answers at the address."""


class Refused(MusterError):
    """Muster answered with an error."""


_CODES: tuple[tuple[type[MusterError], int], ...] = (
    (TamperedModel, DAMAGED),
    (UntrustedArtefact, DAMAGED),
    (UnknownModel, USAGE),
    (SettingsError, USAGE),
    (UnusableData, USAGE),
    (Unreachable, UNREACHABLE),
    (ModelNotPulled, FAILED),
)


def say(text: str) -> None:
    """Prose, to stderr."""
    print(text, file=sys.stderr, flush=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A plain table on stdout, columns as wide as their widest cell."""
    cells = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def emit(data: Any) -> None:
    """Data as JSON on stdout."""
    json.dump(data, sys.stdout, ensure_ascii=False, indent=2)
    print()


def guarded(run: Callable[[], None]) -> NoReturn:
    """Run the CLI; turn an error of ours into one sentence and an exit code. Commands themselves never catch."""
    try:
        run()
    except MusterError as error:
        say(f"muster: {error}")
        # A child that prepared the store has told its own code.
        own = getattr(error, "code", None)
        known = next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
        sys.exit(own if isinstance(own, int) else known)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(FAILED)
    sys.exit(OK)


def flatten(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested mappings as ``a.b`` rows, for a table."""
    rows: list[tuple[str, str]] = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            rows.extend((f"{key}.{name}", text) for name, text in flatten(value))
        else:
            rows.append((key, str(value)))
    return rows
