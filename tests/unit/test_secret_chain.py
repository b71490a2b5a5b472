"""Where secrets come from, in which order, how often they are asked for, and that no value gets out."""

import logging
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import SecretStr

from deployments import secret_chain
from deployments.secret_chain import (
    EnvironmentSource,
    FileSource,
    Found,
    GcpSource,
    Secrets,
    SecretUnavailable,
    secrets_of,
)
from deployments.settings import SecretSettings

VALUE = "sk-very-secret"
NAME = "openai-api-key"


class NotFound(Exception):
    pass


class PermissionDenied(Exception):
    pass


class FakeGcp:
    """Secret Manager's client, as far as it is used."""

    def __init__(self, held=None, error=None, crc=None):
        self.held, self.error, self.crc, self.asked = held or {}, error, crc, []

    def access_secret_version(self, request, timeout, retry):
        self.asked.append((request["name"], timeout, retry))
        if self.error:
            raise self.error
        name = request["name"].split("/")[3]
        if name not in self.held:
            raise NotFound("no such secret")
        payload = SimpleNamespace(data=self.held[name].encode(), data_crc32c=self.crc)
        return SimpleNamespace(name=request["name"].replace("latest", "7"), payload=payload)


def gcp(client, versions=None):
    return GcpSource("p1", versions or {}, lambda: client)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for variable in ("OPENAI_API_KEY", "MUSTER_OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)


def test_the_order_is_gcp_file_environment_default(tmp_path, monkeypatch):
    client = FakeGcp({NAME: "of-gcp"})
    chain = [gcp(client), FileSource(tmp_path), EnvironmentSource()]
    (tmp_path / NAME).write_text("of-file\n")
    monkeypatch.setenv("OPENAI_API_KEY", "of-environment")
    assert Secrets(chain).get(NAME).get_secret_value() == "of-gcp"
    client.held.clear()
    assert Secrets(chain).get(NAME).get_secret_value() == "of-file"
    (tmp_path / NAME).write_text("")
    assert Secrets(chain).get(NAME).get_secret_value() == "of-environment", "empty is missing"
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    assert Secrets(chain).get(NAME, SecretStr("of-default")).get_secret_value() == "of-default"
    assert Secrets(chain).get(NAME, SecretStr("")) is None


def test_the_environment_s_name_has_no_dashes(monkeypatch):
    # The predecessor looked for OPENAI-API-KEY.
    monkeypatch.setenv("OPENAI_API_KEY", VALUE)
    found = EnvironmentSource().get(NAME)
    assert found == Found(SecretStr(VALUE), "environment OPENAI_API_KEY")


def test_provenance_is_told_and_no_value_ever(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    (tmp_path / NAME).write_text(VALUE)
    secrets = Secrets([gcp(FakeGcp(error=PermissionDenied(f"denied {VALUE}"))), FileSource(tmp_path)])
    found = secrets.get(NAME)
    told = secrets.provenance()
    assert told[NAME]["source"] == "file"
    assert told[NAME]["problems"] == [f"Secret Manager did not give {NAME}: PermissionDenied."]
    assert VALUE not in f"{told} {found!r} {found} {caplog.text} {secrets._kept}"


def test_gcp_is_asked_with_five_seconds_and_its_version_is_told(caplog):
    client = FakeGcp({NAME: VALUE, "redis-url": "r"})
    secrets = Secrets([gcp(client, {"redis-url": "3"})])
    secrets.get(NAME), secrets.get("redis-url")
    assert client.asked == [
        (f"projects/p1/secrets/{NAME}/versions/latest", 5.0, None),
        ("projects/p1/secrets/redis-url/versions/3", 5.0, None),
    ]
    assert secrets.provenance()[NAME]["source"] == f"gcp projects/p1/secrets/{NAME}/versions/7"


def test_a_damaged_payload_is_not_used(monkeypatch):
    monkeypatch.setattr(secret_chain, "crc32c", lambda data: 1)
    with pytest.raises(SecretUnavailable, match="damaged"):
        gcp(FakeGcp({NAME: VALUE}, crc=2)).get(NAME)
    assert gcp(FakeGcp({NAME: VALUE}, crc=1)).get(NAME)


def test_strict_ends_where_gcp_cannot_say_but_not_where_it_says_no(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", VALUE)
    denied, unknown = FakeGcp(error=PermissionDenied()), FakeGcp()
    with pytest.raises(SecretUnavailable):
        Secrets([gcp(denied), EnvironmentSource()], strict=True).get(NAME)
    assert Secrets([gcp(unknown), EnvironmentSource()], strict=True).get(NAME)
    assert Secrets([gcp(denied), EnvironmentSource()]).get(NAME)


def test_what_is_found_and_what_is_not_is_kept_for_a_while():
    now, client = [0.0], FakeGcp()
    secrets = Secrets([gcp(client)], ttl_s=300, clock=lambda: now[0])
    assert secrets.get(NAME) is None
    assert secrets.get(NAME) is None
    assert len(client.asked) == 1
    client.held[NAME] = VALUE
    now[0] = 31
    assert secrets.get(NAME)
    now[0] = 330
    assert secrets.get(NAME)
    assert len(client.asked) == 2
    now[0] = 332
    secrets.get(NAME)
    secrets.refresh(NAME)
    secrets.get(NAME)
    assert len(client.asked) == 4


def test_threads_that_ask_together_look_once():
    class Slow:
        asked = 0

        def get(self, name):
            self.asked += 1
            time.sleep(0.05)
            return Found(SecretStr(VALUE), "slow")

    slow = Slow()
    secrets = Secrets([slow])
    threads = [threading.Thread(target=secrets.get, args=(NAME,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slow.asked == 1


def test_gcp_is_not_touched_unless_it_is_enabled(monkeypatch, tmp_path):
    module = ModuleType("google.cloud.secretmanager")
    module.SecretManagerServiceClient = lambda: pytest.fail("nobody asked for Secret Manager")
    monkeypatch.setitem(sys.modules, "google.cloud.secretmanager", module)
    secrets_of(SecretSettings(gcp="off", gcp_project="p1", dir=tmp_path)).get(NAME)
    with pytest.raises(SecretUnavailable, match="MUSTER_SECRETS_GCP_PROJECT"):
        secrets_of(SecretSettings(gcp="on"))


def test_settings_read_versions(monkeypatch):
    monkeypatch.setenv("MUSTER_SECRETS_VERSIONS", "openai-api-key=3, redis-url=1")
    assert SecretSettings().versions == {"openai-api-key": "3", "redis-url": "1"}


def test_a_file_that_is_too_large_or_no_text_is_no_secret(tmp_path):
    (tmp_path / NAME).write_bytes(b"x" * 70_000)
    with pytest.raises(SecretUnavailable, match="larger"):
        FileSource(tmp_path).get(NAME)
    (tmp_path / NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(SecretUnavailable, match="cannot be read"):
        FileSource(tmp_path).get(NAME)
