"""Every error of the three floors crosses a process boundary whole."""

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import get_type_hints

import pytest

import deployments.errors
import model_store.errors
import serve_app.errors
from deployments.wire import PieceReply, ReplicaDied
from model_store.errors import MusterError

EXAMPLES = {str: "some words", float: 1.5, int: 7, tuple[str, ...]: ("one", "two"), str | None: "input[3]"}


def tree(root):
    found = {root}
    for child in root.__subclasses__():
        found |= tree(child)
    return found


# Named by module, so that the list is the same whatever other tests have imported.
FLOORS = {module.__name__ for module in (model_store.errors, deployments.errors, serve_app.errors)}
ERRORS = sorted((error for error in tree(MusterError) if error.__module__ in FLOORS), key=lambda error: error.__name__)


def made(error, everything):
    """An instance with every argument, or with the required ones only."""
    if "__init__" not in vars(error) and all("__init__" not in vars(base) for base in tree_above(error)):
        return error("some words")
    hints = get_type_hints(error.__init__)
    parameters = list(inspect.signature(error).parameters.values())
    return error(*(EXAMPLES[hints[p.name]] for p in parameters if everything or p.default is p.empty))


def tree_above(error):
    return [base for base in error.__mro__ if issubclass(base, MusterError)]


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_every_error_survives_pickling_and_copying(error, everything, travel):
    sent = made(error, everything)
    got = travel(sent)
    assert type(got) is error
    assert str(got) == str(sent) != ""
    assert got.args == sent.args
    assert vars(got) == vars(sent)


def test_the_tree_is_whole():
    assert len(ERRORS) > 25
    assert {error.__module__ for error in ERRORS} == FLOORS
    assert all(error.__doc__ for error in ERRORS)


def test_a_cause_with_a_clients_text_stays_behind():
    error = deployments.errors.PoisonousItem()
    error.__cause__ = ValueError("a secret text")
    assert b"secret" not in pickle.dumps(PieceReply([None], [0], {0: error}))


def test_the_death_of_a_replica_is_no_answer_for_a_client():
    assert not isinstance(pickle.loads(pickle.dumps(ReplicaDied())), MusterError)


def test_every_logger_is_one_that_replicas_write_to_their_log():
    """Ray Serve writes to a replica's log what its own logger and those below it say; another name is heard by nobody."""
    root = Path(__file__).parents[2]
    sources = [path for folder in ("serve_app", "deployments") for path in (root / folder).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"getLogger\(([^)]*)\)", path.read_text())}
    assert named == {'"ray.serve.muster"', '"ray.serve"'}
