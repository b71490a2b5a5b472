"""The model card that a bundle carries, in the form of a Hugging Face model card: YAML metadata, then Markdown.

``docs/model-card-template.md`` is the same card with places to fill in, for models trained elsewhere.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from deployments.skills.measures import QUALITY, shortfalls
from model_store.skill_records import BundleRecord, SkillRecord

SYNTHETIC = """**Synthetic models, not for decisions about people.** They were trained on generated students, because no
rated data are public. They show that the pipeline works; their numbers say nothing about real children."""
RATED = """Trained on rated students. The figures below hold for students like those; they say nothing about others."""
_CARD = """# Skill models {version}

{nature}

- Made: {created}; parent: {parent}
- Feature schema `{schema}`, {features} inputs a skill; Muster bundle format {format}
- Data: {rows} rows (training / calibration / test, split by student), sha256 `{data}`
- Libraries: {libraries}
- Output: an estimate of the mean rating, 0 to 1, and a {level:.0%} interval by conformalized quantile regression

## Intended use

{use}
A score supports a teacher's judgement and never replaces it: it is one more observation, to be read with its interval, its
evidence and what it lacks.

## What scores may be used for

- To begin a conversation about a student, with the evidence that the answer shows.
- To notice change of one student over time, where the intervals do not overlap.
- To find students of whom little was observed, and observe more.

## What scores may not be used for

- Grades, placement, promotion, discipline, or any decision that is made about a student without a person who knows them.
- Ranking students, classes, teachers or schools.
- Diagnosis, or any clinical or legal statement.
- Students unlike those of the training data: other ages, languages, games or ways of observing.

## Training

{training}

Depth, rounds and rates by skill:

| skill | trees | depth | rate | rows | cross-validated MAE | R2 |
|---|---|---|---|---|---|---|
{settings}

Monotone in the features whose direction the evidence table states. The interval's bound models learn from out-of-fold
residuals and are not monotone.

## Measured on the test rows

| skill | MAE | R2 | Pearson | Spearman | coverage | mean width | MAE of the mean predictor | target |
|---|---|---|---|---|---|---|---|---|
{metrics}

Targets: {targets}.

## Fairness

Errors by group on the test rows. Bias is estimate minus rating: above zero the group is overrated. Groups of fewer than 30
rows are not shown. The grade chooses the interval's calibration and is no input; no group column is an input.

{groups}

## Limits

- {limit}
- The interval covers with the stated probability over students like the calibration rows{bands}, not for each student.
- Nothing here proves that the features cause the skill, or that raters agreed on what it is.
"""


def model_card(record: BundleRecord) -> str:
    """The card of one bundle."""
    synthetic = record.synthetic_model
    one = next(iter(record.skills.values()))
    rows = record.training_data["rows"]
    body = _CARD.format(
        version=record.version,
        nature=SYNTHETIC if synthetic else RATED,
        created=record.created_at,
        parent=record.parent or "none",
        schema=record.schema_hash[:16],
        features=record.feature_count,
        format=record.format_version,
        rows=f"{rows['train']} / {rows['calibration']} / {rows['test']}",
        data=record.training_data["sha256"],
        libraries=", ".join(f"{name} {version}" for name, version in record.libraries.items()),
        level=one.calibration.level,
        use=_USE[synthetic],
        training=_TRAINING[synthetic].format(seed=record.training_data["split_seed"]),
        settings="\n".join(_settings(skill, entry) for skill, entry in record.skills.items()),
        metrics="\n".join(_measured(skill, entry) for skill, entry in record.skills.items()),
        targets="; ".join(
            f"{skill} R2 at least {r2:.2f}, MAE at most {mae:.2f}" for skill, (r2, mae) in QUALITY.items()
        ),
        groups=group_table({skill: entry.groups for skill, entry in record.skills.items()}),
        limit=_LIMIT[synthetic],
        bands=", and within the grade bands " + ", ".join(one.calibration.band_offsets)
        if one.calibration.band_offsets
        else "",
    )
    return f"---\n{yaml.safe_dump(_metadata(record), sort_keys=False, allow_unicode=True)}---\n\n{body}"


def group_table(by_skill: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Every group's rows, error, bias and coverage by skill, Markdown."""
    lines = [
        f"| {skill} | {group.replace('|', '/')} | {held['rows']:.0f} | {held['mae']:.3f} | {held['bias']:+.3f} "
        f"| {held['coverage']:.3f} |"
        for skill, groups in by_skill.items()
        for group, held in groups.items()
    ]
    heading = "| skill | group | rows | MAE | bias | coverage |\n|---|---|---|---|---|---|"
    return "\n".join([heading, *lines]) if lines else "No groups were given."


_USE = {
    True: "Development, tests and demonstration of the service. A deployment that assesses students needs models trained "
    "on its own\nrated data (three or more raters, Krippendorff's alpha of .80 or more) and a review of errors by group.",
    False: "Formative assessment of students like those of the training data, in the hands of teachers who know them.",
}
_TRAINING = {
    True: "XGBoost on generated students (`deployments/skills/synthetic.py`), squared error, seed {seed}.",
    False: "XGBoost on rated students, squared error, split seed {seed}. Ratings are means of several raters.",
}
_LIMIT = {
    True: "Relations between features and skills are assumptions of the generator, simpler than reality, in English; "
    "fairness cannot\n  be judged from these models.",
    False: "Ratings carry the raters' own leanings into the models; errors by group show some of them and not all.",
}


def _settings(skill: str, entry: SkillRecord) -> str:
    chosen, folded = entry.hyperparameters, entry.cross_validation
    return (
        f"| {skill} | {chosen['rounds']} | {chosen['max_depth']} | {chosen['eta']:g} "
        f"| {entry.samples['train']} / {entry.samples['calibration']} / {entry.samples['test']} "
        f"| {folded['mae']:.3f} | {folded['r2']:.3f} |"
    )


def _measured(skill: str, entry: SkillRecord) -> str:
    names = ("mae", "r2", "pearson", "spearman", "coverage", "interval_width")
    figures = " | ".join(f"{entry.metrics[name]:.3f}" for name in names)
    missed = shortfalls(skill, entry.metrics) if skill in QUALITY else []  # type: ignore[arg-type]
    return f"| {skill} | {figures} | {entry.baseline['mae']:.3f} | {'; '.join(missed) or 'met'} |"


def _metadata(record: BundleRecord) -> dict[str, Any]:
    """The keys that Hugging Face's cards have."""
    kind = "synthetic" if record.synthetic_model else "rated"
    return {
        "language": "en",
        "library_name": "xgboost",
        "pipeline_tag": "tabular-regression",
        "tags": ["muster", "skill-assessment", "education", kind],
        "model-index": [
            {
                "name": f"{skill} {record.version}",
                "results": [
                    {
                        "task": {"type": "tabular-regression"},
                        "dataset": {"name": f"{kind} students", "type": record.training_data["sha256"][:16]},
                        "metrics": [
                            {"type": name, "value": entry.metrics[name]}
                            for name in ("mae", "r2", "spearman", "coverage")
                        ],
                    }
                ],
            }
            for skill, entry in record.skills.items()
        ],
    }
