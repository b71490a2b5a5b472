"""XGBoost model files that must not reach XGBoost in a process that matters, and bundles whose hashes fit them.

``TAMPERED`` are changes of the structure, which the inspection refuses; most of them crash XGBoost or make it run for
ever. ``moved_leaf`` keeps the structure: only the canary rows tell.
"""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np

from model_store.ubjson import parse_ubjson

MARKERS = {"i1": "i", "u1": "U", "i2": "I", "i4": "l", "i8": "L", "f4": "d", "f8": "D"}


def relock(folder: Path, bundle: Path, **changes: object) -> None:
    """What somebody with write access can do: fit the hashes to changed files, and the alias to the hashes."""
    record = json.loads((bundle / "bundle.json").read_text()) | changes
    record["files"] = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in record["files"]}
    (bundle / "bundle.json").write_text(json.dumps(record))
    point_at(folder, bundle)


def point_at(folder: Path, bundle: Path) -> None:
    """Write the alias without asking, as one that is newer than any other."""
    sha256 = hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()
    generation = json.loads((folder / "champion").read_text()).get("generation", 0) + 1
    alias = {"version": bundle.name, "bundle_sha256": sha256, "generation": generation}
    (folder / "champion").write_text(json.dumps(alias))


def encode(value):
    """UBJSON as XGBoost writes it, for making models that XGBoost would not."""
    if isinstance(value, np.ndarray):
        big = value.astype(value.dtype.newbyteorder(">"))
        return b"[$" + MARKERS[value.dtype.str[1:]].encode() + b"#L" + struct.pack(">q", len(value)) + big.tobytes()
    if isinstance(value, dict):
        return b"{" + b"".join(_text(name) + encode(item) for name, item in value.items()) + b"}"
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(encode(item) for item in value)
    return b"S" + _text(value) if isinstance(value, str) else b"l" + struct.pack(">i", value)


def _text(text):
    return b"L" + struct.pack(">q", len(text.encode())) + text.encode()


def tampered(model, change):
    """The model with ``change(learner, first_tree)`` made to it; arrays are writable copies."""

    def writable(value):
        if isinstance(value, dict):
            return {name: writable(item) for name, item in value.items()}
        if isinstance(value, list):
            return [writable(item) for item in value]
        return value.astype(value.dtype.newbyteorder("=")) if isinstance(value, np.ndarray) else value

    document = writable(parse_ubjson(model))
    learner = document["learner"]
    change(learner, learner["gradient_booster"]["model"]["trees"][0])
    return encode(document)


def put(name, index, value):
    return lambda _, tree: tree[name].__setitem__(index, value)


def replace(name, value):
    return lambda _, tree: tree.__setitem__(name, value(tree[name]))


def model_of(learner):
    return learner["gradient_booster"]["model"]


def lattice(_, tree):
    """64 levels of one node each, which is both children of the one above: 2 ** 63 ways down."""
    count = 64
    below = np.append(np.arange(1, count), -1)
    tree.update(left_children=below.astype("i4"), right_children=below.astype("i4"))
    tree["parents"] = np.append(2147483647, np.arange(count - 1)).astype("i4")
    for name in ("split_indices", "split_type", "default_left"):
        tree[name] = np.zeros(count, tree[name].dtype)
    for name in ("split_conditions", "base_weights", "loss_changes", "sum_hessian"):
        tree[name] = np.ones(count, "f4")
    tree["tree_param"]["num_nodes"] = str(count)


TAMPERED = {
    "child index out of range": put("left_children", 0, 100_000),
    "negative child index": put("right_children", 0, -7),
    "cycle to the root": put("left_children", 1, 0),
    "cycle to itself": put("left_children", 1, 1),
    "endless ways": lattice,
    "two parents": put("right_children", 0, 1),
    "one child only": put("right_children", 0, -1),
    "cut off at the root": lambda _, tree: (
        put("left_children", 0, -1)(_, tree),
        put("right_children", 0, -1)(_, tree),
    ),
    "feature index out of range": put("split_indices", 0, 1_000_000),
    "negative feature index": put("split_indices", 0, -1),
    "threshold not a number": put("split_conditions", 0, np.nan),
    "leaf infinite": put("split_conditions", -1, np.inf),
    "weight not a number": put("base_weights", 0, np.nan),
    "cover of zero": put("sum_hessian", 0, 0.0),
    "disowned child": put("parents", 1, 5),
    "categorical split": put("split_type", 0, 1),
    "strange default branch": put("default_left", 0, 7),
    "short column": replace("left_children", lambda column: column[:-1]),
    "fractional children": replace("left_children", lambda column: column.astype("f4")),
    "categories": replace("categories", lambda _: np.array([1], "i4")),
    "nodes miscounted": lambda _, tree: tree["tree_param"].__setitem__("num_nodes", "3"),
    "nodes without end": lambda _, tree: tree["tree_param"].__setitem__("num_nodes", "999999999"),
    "a number only Python reads": lambda _, tree: tree["tree_param"].__setitem__("num_feature", "2_6"),
    "vector leaves": lambda _, tree: tree["tree_param"].__setitem__("size_leaf_vector", "4"),
    "deleted nodes": lambda _, tree: tree["tree_param"].__setitem__("num_deleted", "1"),
    "column missing": lambda _, tree: tree.pop("split_indices"),
    "column of another kind": lambda _, tree: tree.__setitem__("split_indices", "text"),
    "tree renumbered": lambda _, tree: tree.__setitem__("id", 3),
    "unknown output group": lambda learner, _: model_of(learner)["tree_info"].__setitem__(0, 7),
    "rounds out of step": lambda learner, _: model_of(learner)["iteration_indptr"].__setitem__(1, 4),
    "trees miscounted": lambda learner, _: model_of(learner)["gbtree_model_param"].__setitem__("num_trees", "6"),
    "no trees": lambda learner, _: model_of(learner).__setitem__("trees", []),
    "parallel trees": lambda learner, _: model_of(learner)["gbtree_model_param"].__setitem__("num_parallel_tree", "5"),
    "huge feature count": lambda learner, _: learner["learner_model_param"].__setitem__("num_feature", "999999999"),
    "more outputs": lambda learner, _: learner["learner_model_param"].__setitem__("num_target", "3"),
    "base score not a number": lambda learner, _: learner["learner_model_param"].__setitem__("base_score", "NaN"),
    "other objective": lambda learner, _: learner["objective"].__setitem__("name", "rank:ndcg"),
    "other booster": lambda learner, _: learner["gradient_booster"].__setitem__("name", "dart"),
    "feature names that do not fit": lambda learner, _: learner.__setitem__("feature_names", ["one"]),
    "no learner": lambda learner, _: learner.clear(),
}


def moved_leaf(_, tree):
    """One leaf says a tenth more; nothing else changes."""
    leaf = int(np.flatnonzero(tree["left_children"] == -1)[-1])
    tree["split_conditions"][leaf] += 0.1
