"""Inspects an XGBoost model file before XGBoost reads it.

XGBoost trusts its model files: a child index out of range, a cycle or a feature index out of range is a segmentation
fault in the serving process, and its documentation leaves the check to the user. Accepted is exactly what Muster's
training writes: a ``gbtree`` of numeric splits with one output and one of two objectives, squared error for estimates
and the quantile error for the bounds of intervals.
"""

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.ubjson import MalformedUbjson, parse_ubjson

ESTIMATE, BOUND = "reg:squarederror", "reg:quantileerror"
MAX_BYTES = 64 * 1024 * 1024
MAX_TREES = 5_000
MAX_NODES = 65_535
MAX_TREE_DEPTH = 16
"""TreeSHAP's cost grows with the square of the depth."""
_PER_NODE = (
    "left_children",
    "right_children",
    "split_indices",
    "split_type",
    "split_conditions",
    "default_left",
    "base_weights",
    "loss_changes",
    "sum_hessian",
    "parents",
)
_INTEGER = ("left_children", "right_children", "split_indices", "split_type", "default_left", "parents")
_CATEGORICAL = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


class UnsafeModel(ValueError):
    """The file is not a model that Muster may hand to XGBoost; the message says why, in terms of the structure."""


def inspect_model(data: bytes, num_feature: int, objective: str = ESTIMATE) -> None:
    """Check a ``.ubj`` file's structure. Raises ``UnsafeModel``; returning means XGBoost can walk every tree."""
    if len(data) > MAX_BYTES:
        raise UnsafeModel(f"{len(data)} bytes are more than a skill model can have")
    try:
        learner = parse_ubjson(data)["learner"]
        _inspect_learner(learner, num_feature, objective)
        model = learner["gradient_booster"]["model"]
        _inspect_forest(model)
        for number, tree in enumerate(model["trees"]):
            _inspect_tree(tree, number, num_feature)
    except MalformedUbjson as error:
        raise UnsafeModel(f"not readable: {error}") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, UnsafeModel):
            raise
        raise UnsafeModel(f"the structure is not that of a model: {type(error).__name__}") from error


def _count(text: Any) -> int:
    """A number as XGBoost writes it in its headers: ASCII digits only, for Python reads more than C does."""
    _require(isinstance(text, str) and text.isascii() and text.isdigit(), "a header is not a number")
    return int(text)


def _require(holds: Any, reason: str) -> None:
    if not holds:
        raise UnsafeModel(reason)


def _inspect_learner(learner: dict[str, Any], num_feature: int, objective: str) -> None:
    shape = learner["learner_model_param"]
    _require(_count(shape["num_feature"]) == num_feature, f"the model does not have {num_feature} features")
    _require(_count(shape["num_target"]) == 1 and _count(shape["num_class"]) == 0, "the model has more than one output")
    base = json.loads(shape["base_score"])
    base = base[0] if isinstance(base, list) and len(base) == 1 else base
    _require(isinstance(base, int | float) and math.isfinite(base), "the base score is not a number")
    _require(learner["objective"]["name"] == objective, f"the objective is not {objective}")
    _require(learner["gradient_booster"]["name"] == "gbtree", "the booster is not gbtree")
    names, types = learner.get("feature_names", []), learner.get("feature_types", [])
    _require(len(names) in (0, num_feature) and len(types) in (0, num_feature), "the feature names do not fit")


def _inspect_forest(model: dict[str, Any]) -> None:
    count = len(model["trees"])
    _require(1 <= count <= MAX_TREES, f"{count} trees")
    shape = model["gbtree_model_param"]
    _require(
        _count(shape["num_trees"]) == count and _count(shape["num_parallel_tree"]) == 1, "the tree count does not fit"
    )
    _require([int(group) for group in model["tree_info"]] == [0] * count, "a tree belongs to an unknown output")
    starts = [int(start) for start in model["iteration_indptr"]]
    _require(starts == list(range(count + 1)), "the boosting rounds do not fit the trees")
    _require(not any(len(part) for part in model.get("cats", {}).values()), "the model has categories")


def _inspect_tree(tree: dict[str, Any], number: int, num_feature: int) -> None:
    where = f"tree {number}: "
    shape = tree["tree_param"]
    count = _count(shape["num_nodes"])
    _require(1 <= count <= MAX_NODES, f"{where}{count} nodes")
    _require(int(tree["id"]) == number and _count(shape["num_deleted"]) == 0, f"{where}its header does not fit")
    _require(_count(shape["num_feature"]) == num_feature, f"{where}its feature count does not fit")
    _require(_count(shape["size_leaf_vector"]) in (0, 1), f"{where}its leaves are vectors")
    _require(not any(len(tree[name]) for name in _CATEGORICAL), f"{where}it has categories")
    columns = {name: np.asarray(tree[name]) for name in _PER_NODE}
    _require(all(column.shape == (count,) for column in columns.values()), f"{where}a column has the wrong length")
    _require(all(columns[name].dtype.kind in "iu" for name in _INTEGER), f"{where}an index is not an integer")
    for name in ("split_conditions", "base_weights", "loss_changes", "sum_hessian"):
        _require(np.isfinite(columns[name]).all(), f"{where}{name} is not finite")
    _require((columns["split_type"] == 0).all(), f"{where}a split is not numeric")
    _require(np.isin(columns["default_left"], (0, 1)).all(), f"{where}a default branch is not 0 or 1")
    inner = columns["left_children"] != -1
    splits = columns["split_indices"][inner]
    _require(((splits >= 0) & (splits < num_feature)).all(), f"{where}a feature index is out of range")
    # TreeSHAP divides by the cover of every node that has children.
    _require((columns["sum_hessian"][inner] > 0).all(), f"{where}a split covers nothing")
    _inspect_shape(columns["left_children"], columns["right_children"], columns["parents"], where)


def _inspect_shape(left: NDArray[np.int32], right: NDArray[np.int32], parents: NDArray[np.int32], where: str) -> None:
    """From the root, level by level, every node is reached exactly once: no cycle, no orphan, no stray index."""
    count = len(left)
    _require(((left == -1) == (right == -1)).all(), f"{where}a node has one child")
    seen = np.zeros(count, dtype=np.int64)
    level = np.array([0])
    for _ in range(MAX_TREE_DEPTH + 1):
        seen[level] += 1
        inner = level[left[level] != -1]
        if not len(inner):
            break
        children = np.concatenate((left[inner], right[inner]))
        _require(((children > 0) & (children < count)).all(), f"{where}a child index is out of range")
        _require((parents[children] == np.tile(inner, 2)).all(), f"{where}a node disowns its child")
        # A child named twice in one level would be counted once by the indexed addition above.
        _require(len(np.unique(children)) == len(children), f"{where}a node has two parents")
        level = children
    _require((seen == 1).all(), f"{where}it is not a tree of at most {MAX_TREE_DEPTH} levels")
