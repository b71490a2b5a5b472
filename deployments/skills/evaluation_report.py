"""An evaluation as files: ``evaluation.json``, ``evaluation.md`` and two plots as SVG, drawn here with no library."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deployments.skills.evaluate import Evaluation, SkillReport
from deployments.skills.model_card import group_table

Line = Callable[[str, SkillReport], str]
Points = Sequence[tuple[float, float]]
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")
SIZE, MARGIN = 360, 52
_PARTS = ("calibrated_spread", "extremity", "completeness")


def write_report(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write all files into a folder, made when missing; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "evaluation.json": json.dumps(evaluation.to_json(), indent=2),
        "evaluation.md": markdown(evaluation),
        "reliability.svg": reliability_plot(evaluation),
        **{f"confidence-{name}.svg": confidence_plot(evaluation, name) for name in _PARTS},
    }
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def markdown(evaluation: Evaluation) -> str:
    """The report for people."""
    about = "synthetic models" if evaluation.synthetic_model else "models trained on rated students"
    on = "synthetic students" if evaluation.data["synthetic"] else "rated students"
    levels = list(next(iter(evaluation.skills.values())).reliability)
    return f"""# Evaluation of skill models {evaluation.version}

{about.capitalize()}, judged on {on}: {evaluation.data["rows"]}
(sha256 `{evaluation.data["sha256"][:16]}`), {evaluation.made_at}.

## Errors

| skill | rows | MAE | RMSE | R2 | Pearson | Spearman | bias | MAE of the mean | target |
|---|---|---|---|---|---|---|---|---|---|
{_lines(evaluation, _errors)}

The mean is the best that one number for everyone could do on these rows.

## Intervals

| skill | covered at 90 % | mean width | covered when no grade is known |
|---|---|---|---|
{_lines(evaluation, _intervals)}

Coverage by nominal level:

| skill | {" | ".join(f"{float(level):.0%}" for level in levels)} |
|---|{"---|" * len(levels)}
{_lines(evaluation, _covered)}

![Reliability of the intervals](reliability.svg)

## Confidence

Each point is a tenth of the rows, from those of the lowest part to those of the highest: where a part is worth its weight,
the error falls to the right.

{chr(10).join(f"![{name}](confidence-{name}.svg)" for name in _PARTS)}

## Errors by group

Bias is estimate minus rating.

{group_table({skill: report.groups for skill, report in evaluation.skills.items()})}
"""


def reliability_plot(evaluation: Evaluation) -> str:
    """Covered share against nominal level; the dashed line is where both are equal."""
    series: dict[str, Points] = {
        skill: [(float(level), share) for level, share in report.reliability.items()]
        for skill, report in evaluation.skills.items()
    }
    return plot("Reliability of the intervals", "nominal level", "share of ratings covered", series, (0.4, 1.0), True)


def confidence_plot(evaluation: Evaluation, part: str) -> str:
    """Mean absolute error against one part of the confidence."""
    series: dict[str, Points] = {skill: report.parts[part] for skill, report in evaluation.skills.items()}
    return plot(f"Confidence: {part}", part, "mean absolute error", series, None, False)


def plot(
    title: str, x: str, y: str, series: Mapping[str, Points], limits: tuple[float, float] | None, diagonal: bool
) -> str:
    """Lines with points, one for each series. ``limits``: of both axes; those of the data when it is None."""
    xs = limits or _limits([point[0] for points in series.values() for point in points])
    ys = limits or _limits([0.0, *(point[1] for points in series.values() for point in points)])

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - xs[0]) / (xs[1] - xs[0])
        up = (point[1] - ys[0]) / (ys[1] - ys[0])
        return round(MARGIN + across * SIZE, 1), round(MARGIN + (1 - up) * SIZE, 1)

    shapes = [_axes(title, x, y, xs, ys)]
    if diagonal:
        (x1, y1), (x2, y2) = at((xs[0], xs[0])), at((xs[1], xs[1]))
        shapes.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#888" stroke-dasharray="5 4"/>')
    for number, (name, points) in enumerate(series.items()):
        shapes.append(_series(name, [at(point) for point in points], COLOURS[number % len(COLOURS)], number))
    width, height = SIZE + 2 * MARGIN + 120, SIZE + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _axes(title: str, x: str, y: str, xs: tuple[float, float], ys: tuple[float, float]) -> str:
    parts = [f'<rect x="{MARGIN}" y="{MARGIN}" width="{SIZE}" height="{SIZE}" fill="none" stroke="#444"/>']
    for step in range(7):
        across, along = step / 6, MARGIN + step / 6 * SIZE
        tick_x, tick_y = xs[0] + across * (xs[1] - xs[0]), ys[0] + across * (ys[1] - ys[0])
        low = MARGIN + SIZE
        parts.append(f'<text x="{along:.1f}" y="{low + 16}" text-anchor="middle">{tick_x:.2f}</text>')
        parts.append(f'<text x="{MARGIN - 6}" y="{low - across * SIZE + 4:.1f}" text-anchor="end">{tick_y:.2f}</text>')
    middle = MARGIN + SIZE / 2
    parts.append(f'<text x="{middle}" y="24" text-anchor="middle" font-size="15">{title}</text>')
    parts.append(f'<text x="{middle}" y="{MARGIN + SIZE + 38}" text-anchor="middle">{x}</text>')
    parts.append(f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{y}</text>')
    return "\n".join(parts)


def _series(name: str, points: Points, colour: str, number: int) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points)
    left, top = MARGIN + SIZE + 10, MARGIN + 12 + 18 * number
    legend = f'<text x="{left}" y="{top}" fill="{colour}">{name}</text>'
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>{dots}{legend}'


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high if high > low else low + 1.0)


def _lines(evaluation: Evaluation, line: Line) -> str:
    return "\n".join(line(skill, report) for skill, report in evaluation.skills.items())


def _errors(skill: str, report: SkillReport) -> str:
    figures = " | ".join(f"{report.metrics[name]:.3f}" for name in ("mae", "rmse", "r2", "pearson", "spearman"))
    verdict = "; ".join(report.missed) or "met"
    bias, mean = report.metrics["bias"], report.baseline["mae"]
    return f"| {skill} | {report.rows} | {figures} | {bias:+.3f} | {mean:.3f} | {verdict} |"


def _covered(skill: str, report: SkillReport) -> str:
    return f"| {skill} | " + " | ".join(f"{share:.3f}" for share in report.reliability.values()) + " |"


def _intervals(skill: str, report: SkillReport) -> str:
    covered, width = report.metrics["coverage"], report.metrics["interval_width"]
    return f"| {skill} | {covered:.3f} | {width:.3f} | {report.unknown_grade_coverage:.3f} |"
