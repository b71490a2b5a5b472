"""A stored report as a page (Jinja2, everything escaped) or as a PDF (fpdf2, the extra ``muster[pdf]``)."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from deployments.errors import InvalidInput

_FOLDER = Path(__file__).parent


def html(report: Mapping[str, Any]) -> str:
    """The page; it has no script and loads nothing."""
    return str(_template().render(r=report, advice=_advice(report), shown=_shown, day=_day, level=_level))


def pdf(report: Mapping[str, Any]) -> bytes:
    """The document. Raises ``InvalidInput`` where the library is not installed."""
    try:
        from fpdf import FPDF
    except ImportError:
        raise InvalidInput(
            "This server was installed without PDF export (the extra muster[pdf]); ask for format=html.", "format"
        ) from None
    document = FPDF()
    document.set_title(str(report["report_id"]))
    document.set_auto_page_break(True, margin=15)
    document.add_page()
    _write(document, report)
    return bytes(document.output())


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2")


def _write(document: Any, report: Mapping[str, Any]) -> None:
    sections, patient = report["sections"], report["patient"]
    _text(document, report["notice"], bold=True)
    _heading(document, f"Report {report['report_id']}")
    named = f", {patient['name']}" if patient["name"] else ""
    period, model = report["analysis_date_range"], report["metadata"]["model"]
    writer = f"{report['generated_by']} ({model})" if model else report["generated_by"]
    _text(
        document,
        f"Patient {patient['id']}{named}; age {_shown(patient['age'])}, sex {patient['sex']}, body mass index "
        f"{_shown(patient['bmi'])}. Period {_day(period['from'])} to {_day(period['to'])}; made "
        f"{_day(report['report_date'])} by {writer}.",
    )
    _heading(document, "Summary")
    _text(document, report["executive_summary"])
    score, confidence = _shown(report["overall_health_score"]), _shown(report["metadata"]["confidence"])
    _text(document, f"Health score {score} of 100; confidence {confidence}.")
    if vitals := sections["vitals_analysis"]:
        _vitals(document, vitals)
    if review := sections["medication_review"]:
        _heading(document, "Medications")
        _text(document, review["narrative"])
        _table(
            document,
            ("Name", "Dose", "Frequency", "From", "Until"),
            ((m["name"], m["dose"], m["frequency"], m["started"], m["stopped"]) for m in review["medications"]),
        )
    if risk := sections["risk_assessment"]:
        _heading(document, f"Risk: {_level(risk)}")
        _table(
            document,
            ("Finding", "Points", "Factor"),
            ((each["finding"], each["points"], each["text"]) for each in risk["factors"]),
        )
    _heading(document, "Findings and recommendations")
    advice = _advice(report)
    rows = ((f["id"], f"{f['about']}: {f['text']}", f["priority"], advice[f["id"]]) for f in report["findings"])
    _table(document, ("Finding", "What", "Priority", "Recommendation"), rows)
    _text(document, report["notice"], bold=True)


def _vitals(document: Any, vitals: Mapping[str, Any]) -> None:
    _heading(document, "Vital signs")
    _text(document, vitals["narrative"])
    rows = (
        (t["label"], f"{_shown(t['current'])} {t['unit']}", t["status"], t["trend"], t["slope_per_day"], t["p_value"])
        for t in vitals["trends"]
    )
    _table(document, ("Vital sign", "Newest", "Status", "Trend", "Slope a day", "p"), rows)
    if vitals["anomalies_detected"]:
        _heading(document, f"Anomalies ({vitals['anomalies_total']})")
        _table(
            document,
            ("Vital sign", "Value", "When", "Kind"),
            (
                (a["parameter"], a["value"], a["at"], f"{a['kind']}, {a['status']}")
                for a in vitals["anomalies_detected"]
            ),
        )


def _heading(document: Any, text: str) -> None:
    document.ln(3)
    document.set_font("helvetica", "B", 13)
    document.multi_cell(0, 7, _latin(text), new_x="LMARGIN", new_y="NEXT")


def _text(document: Any, text: str, *, bold: bool = False) -> None:
    document.set_font("helvetica", "B" if bold else "", 10)
    document.multi_cell(0, 5, _latin(text), new_x="LMARGIN", new_y="NEXT")


def _table(document: Any, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    document.set_font("helvetica", "", 9)
    with document.table(first_row_as_headings=True, line_height=5) as table:
        for cells in (heads, *rows):
            row = table.row()
            for cell in cells:
                row.cell(_latin(_shown(cell)))


def _advice(report: Mapping[str, Any]) -> dict[str, str]:
    return {each["finding"]: each["recommendation"] for each in report["sections"]["recommendations"]}


def _level(risk: Mapping[str, Any]) -> str:
    """The level and its points, or why there is none."""
    if risk["risk_level"] is None:
        return f"not assessed. {risk['reason']}"
    return f"{risk['risk_level']}, {risk['risk_score']} of 100 points"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _day(value: Any) -> str:
    return "-" if value is None else str(value)[:10]


def _latin(text: str) -> str:
    """The PDF's built-in fonts know Latin-1 only; other letters lose their accents, or become ``?``."""
    try:
        text.encode("latin-1")
        return text
    except UnicodeEncodeError:
        plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        return plain.encode("latin-1", "replace").decode("latin-1")
