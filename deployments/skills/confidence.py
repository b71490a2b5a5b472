"""How sure an assessment is: three documented parts, caps for thin evidence, and the interval.

    confidence = clip(.5 spread + .3 extremity + .2 completeness, .30, .95), then the cap

Part 1 comes from a conformal interval, because the variance across the trees of one boosted model is not uncertainty:
boosted trees are sequential corrections, and their variance is a constant that does not follow the error.
"""

from deployments.skills.assessment import ConfidenceParts, Interval, Prediction
from deployments.skills.features import FeatureSet

PART_WEIGHTS = ConfidenceParts(calibrated_spread=0.5, extremity=0.3, completeness=0.2)
FLOOR, CEILING = 0.30, 0.95
ONE_GROUP_CAP = 0.60
"""Only linguistic or only behavioural observations: nothing of another kind confirms them."""
NO_GROUP_CAP = FLOOR
"""No observation that this skill's evidence rests on: the model stands alone."""


def calibrated_spread(half_width: float) -> float:
    """1 minus the width of the conformal interval: 1 for a point, 0 when the interval spans the whole scale."""
    return 1.0 - min(1.0, 2.0 * half_width)


def extremity(estimate: float) -> float:
    """1 in the middle; falls from d = .2 to .5 at the ends, where raters and data are few. ``d = min(p, 1 - p)``."""
    distance = min(estimate, 1.0 - estimate)
    return 1.0 if distance >= 0.2 else 0.5 + 2.5 * distance


def parts_of(row: FeatureSet, prediction: Prediction) -> ConfidenceParts:
    """The three parts for one student and skill, each 0..1."""
    return ConfidenceParts(
        calibrated_spread=calibrated_spread(prediction.half_width),
        extremity=extremity(prediction.estimate),
        completeness=0.5 + 0.5 * row.completeness,
    )


def combine(parts: ConfidenceParts, groups: int) -> float:
    """The confidence from its parts, capped by how many groups of observations (0..2) the evidence rests on."""
    weighted = (
        PART_WEIGHTS.calibrated_spread * parts.calibrated_spread
        + PART_WEIGHTS.extremity * parts.extremity
        + PART_WEIGHTS.completeness * parts.completeness
    )
    cap = {0: NO_GROUP_CAP, 1: ONE_GROUP_CAP}.get(groups, CEILING)
    return min(cap, max(FLOOR, weighted))


def interval_around(prediction: Prediction, score: float) -> Interval:
    """The model's conformal interval in 0..1, stretched where needed so that it holds the fused score.

    The conformal interval covers the raters' score with probability ``level``; a superset of it covers at least as
    often, whatever the fusion weights are.
    """
    middle = prediction.estimate + prediction.shift
    lower = max(0.0, middle - prediction.half_width)
    upper = min(1.0, middle + prediction.half_width)
    return Interval(lower=min(lower, score), upper=max(upper, score), level=prediction.level)
