"""Parts of a page of results in Markdown."""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.checks.verdict import Verdict


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2)


def speed_table(title: str, figures: Mapping[str, Sequence[float]], how: str = "") -> str:
    """A line for each series: median and range over the rounds. ``how``: what the reader must know."""
    lines = [
        f"## {title}",
        "",
        *((how, "") if how else ()),
        "| what | median | lowest | highest |",
        "|---|---|---|---|",
    ]
    for name, values in figures.items():
        lines.append(f"| {name} | {median(values)} | {min(values):.1f} | {max(values):.1f} |")
    return "\n".join([*lines, ""])


def requirements(verdict: Verdict, title: str | None = None) -> str:
    """Every requirement, and whether it held. Without a title it continues the section before."""
    lines = [f"## {title}", ""] if title else []
    lines += ["| requirement | held |", "|---|---|"]
    lines += [f"| {what} | {'yes' if held else 'NO'} |" for what, held in verdict.requirements + verdict.timed]
    return "\n".join([*lines, ""])


def section(title: str, figures: Mapping[str, object]) -> str:
    """Names and values."""
    lines = [f"## {title}", "", "| what | value |", "|---|---|", *(f"| {n} | {v} |" for n, v in figures.items())]
    return "\n".join([*lines, ""])
