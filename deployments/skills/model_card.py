"""The model card that a bundle carries: what the models are, what they may be used for, what was measured."""

from model_store.skill_records import BundleRecord

_CARD = """# Skill models {version}

**Synthetic models, not for decisions about people.** They were trained on generated students, because no rated data is
public. They show that the pipeline works; their numbers say nothing about real children.

- Made: {created}; seed {seed}; feature schema `{schema}`
- Data: {rows} generated students (training / calibration / test), sha256 `{data}`
- Libraries: {libraries}
- Each model: XGBoost, squared error, {rounds} trees of depth {depth}, monotone in the directed features
- Output: estimate of the mean rating, 0 to 1, with a conformal interval

## Measured on the test rows

| skill | MAE | R2 | Pearson | coverage of the {level:.0%} interval | mean width |
|---|---|---|---|---|---|
{metrics}

## Intended use

Development, tests and demonstration of the service. A deployment that assesses students needs models trained on their
own rated data (three or more raters, Krippendorff's alpha of .80 or more) and a review of errors by group.

## Limits

- Relations between features and skills are assumptions of the generator, simpler than reality, in English.
- No groups of students are modelled apart from grade and level: fairness cannot be judged from these models.
- The interval's coverage holds for students like the generated ones.
- A score supports a teacher's judgement and never replaces it; it is no clinical statement.
"""

_COLUMNS = ("mae", "r2", "pearson", "coverage", "interval_width")


def model_card(record: BundleRecord) -> str:
    """The card of one bundle, Markdown."""
    one = next(iter(record.skills.values()))
    lines = [
        f"| {skill} | " + " | ".join(f"{entry.metrics[name]:.3f}" for name in _COLUMNS) + " |"
        for skill, entry in record.skills.items()
    ]
    rows = record.training_data["rows"]
    return _CARD.format(
        version=record.version,
        created=record.created_at,
        seed=record.training_data["seed"],
        schema=record.schema_hash[:16],
        rows=f"{rows['train']} / {rows['calibration']} / {rows['test']}",
        data=record.training_data["sha256"],
        libraries=", ".join(f"{name} {version}" for name, version in record.libraries.items()),
        rounds=one.hyperparameters["rounds"],
        depth=one.hyperparameters["max_depth"],
        level=one.calibration.level,
        metrics="\n".join(lines),
    )
