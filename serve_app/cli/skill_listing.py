"""What ``muster skills ls`` and ``card`` show of versions, replicas, the shadow and the history: plain rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deployments.skills.shadow import added_up
from model_store.skill_aliases import history
from model_store.skill_records import AliasRecord, TamperedSkills
from model_store.skills import read_record, versions


def version_rows(folder: Path, held: AliasRecord | None) -> list[dict[str, Any]]:
    """One row for each bundle here, the newest first; of one that cannot be read only the version."""
    aliases: dict[str, str] = {}
    if held is not None:
        aliases = {target.version: "before" for target in held.past[-1:]}
        aliases |= {held.challenger.version: "challenger"} if held.challenger else {}
        aliases[held.version] = "champion"
    found = versions(folder)
    if held is not None and held.version not in found:
        found.append(held.version)
    return [_version_row(folder, version, aliases.get(version, "")) for version in reversed(found)]


def _version_row(folder: Path, version: str, alias: str) -> dict[str, Any]:
    try:
        record, _ = read_record(folder, version)
    except TamperedSkills as error:
        return {
            "version": version,
            "alias": alias,
            "made": "",
            "data": error.reason,
            "rows": "",
            "mae": "",
            "parent": "",
        }
    errors = [one.metrics["mae"] for one in record.skills.values()]
    return {
        "version": version,
        "alias": alias,
        "made": record.created_at[:19],
        "data": "synthetic" if record.synthetic_model else "rated",
        "rows": sum(record.training_data["rows"].values()),
        "mae": f"{sum(errors) / len(errors):.4f}",
        "parent": record.parent or "",
    }


def replica_rows(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each replica serves, and what keeps it from the champion."""
    return [
        {
            "replica": one["replica"],
            "serving": one["serving"],
            "generation": one["generation"],
            "trouble": "; ".join(one["troubles"].values()),
        }
        for one in reports
    ]


def shadow_rows(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Challenger minus champion by skill, all replicas together."""
    found = added_up([one["shadow"] for one in reports if one["shadow"]])
    return [{"skill": skill, **held} for skill, held in found["skills"].items()] if found else []


def shadow_text(version: str, reports: Sequence[Mapping[str, Any]]) -> str:
    """A section for the card of a challenger; empty for any other version."""
    rows = shadow_rows([one for one in reports if one["shadow"] and one["shadow"]["challenger"] == version])
    if not rows:
        return ""
    lines = [
        f"| {row['skill']} | {row['rows']} | {row['mean_difference']:+.4f} | {row['mean_absolute_difference']:.4f} "
        f"| {row['largest_difference']:.4f} | {row['other_band']} |"
        for row in rows
    ]
    heading = (
        "| skill | rows | mean difference | mean absolute | largest | in another band |\n|---|---|---|---|---|---|"
    )
    return "\n".join(["\n## Shadowing the champion\n", heading, *lines, ""])


def history_rows(folder: Path) -> list[dict[str, Any]]:
    """The history, the newest first."""
    return [
        {
            "at": entry.get("at", "")[:19],
            "by": entry.get("by", ""),
            "action": entry.get("action", ""),
            "outcome": entry.get("outcome", ""),
            "from": entry.get("from") or "",
            "to": entry.get("to") or "",
            "why": entry.get("why") or entry.get("reason") or "",
        }
        for entry in reversed(history(folder))
    ]
