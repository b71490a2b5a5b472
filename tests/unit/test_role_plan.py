"""Which model plays which role: the gateway's ``user_config``, and the guard of the embedding role."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from model_store.catalogue import load_catalogue
from model_store.embedding_record import read_record
from model_store.errors import EmbeddingChanged
from serve_app.errors import SettingsError
from serve_app.role_plan import check_roles, kept_roles, role_plan, role_plan_of, settle_embedding

MINILM, MPNET = "all-minilm-l6-v2", "all-mpnet-base-v2"
CONFIG = Path(__file__).parents[2] / "serve_config.yaml"


def test_the_checked_in_topology_says_who_plays_the_embedding_role():
    plan = role_plan_of(yaml.safe_load(CONFIG.read_text()))
    assert plan.roles == {"embedding": MINILM, "emotion": "minilm-emotion", "sentiment": "minilm-sentiment"}
    check_roles(plan, load_catalogue())


@pytest.mark.parametrize(
    ("user_config", "named"),
    [
        ({"role": {}}, "role"),
        ({"roles": {"emotions": MINILM}}, "emotions"),
        ({"roles": {"emotion": "No Key"}}, "emotion"),
        ({"change_embedding": "perhaps"}, "change_embedding"),
    ],
)
def test_a_wrong_key_is_named(user_config: Any, named: str):
    with pytest.raises(SettingsError, match=named):
        role_plan(user_config)


@pytest.mark.parametrize(
    ("roles", "why"),
    [
        ({"emotion": "no-such-model"}, "no model"),
        ({"emotion": "dialogpt-small"}, "cannot play"),
        ({"embedding": "distilbert-sst-2"}, "cannot play"),
        ({"chat": MINILM}, "cannot play"),
    ],
)
def test_a_model_that_cannot_play_the_role_is_refused(roles: dict[str, str], why: str):
    with pytest.raises(SettingsError, match=why):
        check_roles(role_plan({"roles": roles}), load_catalogue())


def test_the_embedding_role_keeps_its_model_unless_forced(tmp_path: Path):
    catalogue = load_catalogue()
    settle_embedding(role_plan({"roles": {"embedding": MINILM}}), catalogue, tmp_path)
    other = {"roles": {"embedding": MPNET, "emotion": MINILM}}
    with pytest.raises(EmbeddingChanged, match="384"):
        settle_embedding(role_plan(other), catalogue, tmp_path)
    # A topology that came past that check changes the other roles only.
    assert kept_roles(role_plan(other), tmp_path) == {"embedding": MINILM, "emotion": MINILM}
    forced = role_plan({**other, "change_embedding": True})
    assert kept_roles(forced, tmp_path)["embedding"] == MPNET
    settle_embedding(forced, catalogue, tmp_path)
    record = read_record(tmp_path)
    assert record is not None
    assert (record.model, record.dimensions) == (MPNET, 768)
