"""Keys, scopes, host names and web origins, over every route."""

import hashlib
import json
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from http_fakes import FakeFleet, build_services
from pydantic import ValidationError

from serve_app import auth
from serve_app.api.app import create_app
from serve_app.auth import KeyRing, append_key, create_key, read_keys
from serve_app.errors import SettingsError, Unauthenticated
from serve_app.settings import Settings, load_settings

FEATURES = {"linguistic": {"word_count": 10}}


@pytest.fixture
def keys_file(tmp_path):
    return tmp_path / "keys.jsonl"


def new_key(path, tenant="north", scopes=("infer",), **options):
    key, stored = create_key(tenant, scopes, **options)
    append_key(path, stored)
    return key


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def every_route():
    app = create_app(build_services(FakeFleet()))
    for route in app.routes:
        for method in sorted(route.methods):
            yield (
                method,
                route.path.replace("{student_id}", "s1")
                .replace("{skill_type}", "empathy")
                .replace("{model_id:path}", "minilm"),
            )


ROUTES = sorted(every_route())
ANY_KEY = {"/docs", "/openapi.json", "/readiness", "/health/detailed", "/v2/health/ready"}
NO_KEY = {"/health", "/v2/health/live"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(open_client, tmp_path_factory):
    """An application with keys: a client and a key of each kind. One for all routes: who is refused leaves no trace."""
    keys_file = tmp_path_factory.mktemp("guarded") / "keys.jsonl"
    past = datetime.now(UTC) - timedelta(seconds=1)
    keys = {
        "infer": new_key(keys_file),
        "metrics": new_key(keys_file, scopes=("metrics",)),
        "admin": new_key(keys_file, scopes=("admin",)),
        "expired": new_key(keys_file, expires=past),
    }
    async with open_client(build_services(keys=keys_file)) as client:
        yield client, keys


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_refuses_what_is_no_valid_key(guarded, method, path):
    client, keys = guarded
    good = keys["infer"]
    forged = good[:-4] + ("aaaa" if good[-4:] != "aaaa" else "bbbb")
    tries = [None, "", "Bearer", f"Basic {good}", good, f"Bearer {forged}", "Bearer muster_000000_" + "x" * 43]
    tries += [f"Bearer {keys['expired']}", f"Bearer {good} {good}", "Bearer \xff\xfe"]
    for header in tries:
        headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
        answer = await client.request(method, path, headers=headers)
        if path in NO_KEY:
            assert answer.status_code == 200
            continue
        assert answer.status_code == 401
        if not path.startswith("/v2"):
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("kind", ["infer", "metrics", "admin"])
async def test_every_route_asks_for_its_scope(guarded, method, path, kind):
    client, keys = guarded
    answer = await client.request(method, path, headers=bearer(keys[kind]), json={} if method != "GET" else None)
    changes = path.startswith("/api/v1/fusion/") and (method != "GET" or path.endswith("/history"))
    needed = "metrics" if path == "/metrics" else "admin" if changes else "infer"
    allowed = kind in ("admin", needed) or path in ANY_KEY | NO_KEY
    assert (answer.status_code == 403) != allowed
    assert answer.status_code != 401


@pytest.mark.asyncio(loop_scope="module")
async def test_unknown_routes_are_closed_too(guarded):
    client, keys = guarded
    assert (await client.get("/v1/none")).status_code == 401
    assert (await client.get("/v1/none", headers=bearer(keys["infer"]))).status_code == 404


async def test_tenants_do_not_see_each_other(open_client, keys_file, redis_server):
    north, south = new_key(keys_file, "north"), new_key(keys_file, "south")
    path = "/api/v1/students/s1"
    async with open_client(build_services(redis_url=redis_server.url, keys=keys_file)) as client:
        assert (await client.put(f"{path}/features", json=FEATURES, headers=bearer(north))).status_code == 200
        assert (await client.post("/api/v1/infer/s1", headers=bearer(north))).status_code == 200
        assert (await client.get(f"{path}/features", headers=bearer(south))).status_code == 404
        assert (await client.post("/api/v1/infer/s1", headers=bearer(south))).status_code == 404
        (own,) = (await client.get("/api/v1/metrics", headers=bearer(south))).json()
        assert own["success"] is False
        erased = (await client.delete(path, headers=bearer(south))).json()
        assert (erased["features"], erased["inference_records"]) == (False, 1)
        assert (await client.get(f"{path}/features", headers=bearer(north))).status_code == 200
        assert len((await client.get("/api/v1/metrics", headers=bearer(north))).json()) == 1
    keys = redis_server.command("KEYS", "*").decode()
    assert "muster:north:features:s1" in keys
    assert all("muster:" in line for line in keys.split("\r\n") if line and line[0] not in "*$")


def test_only_the_digest_is_stored(keys_file):
    key = new_key(keys_file)
    secret = key.split("_", 2)[2]
    text = keys_file.read_text()
    assert secret not in text
    assert len(secret) >= 43
    assert json.loads(text)["sha256"] == hashlib.sha256(secret.encode()).hexdigest()
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600


def test_an_unknown_id_costs_the_same_work(keys_file, monkeypatch):
    key = new_key(keys_file)
    ring, seen = KeyRing(keys_file), []
    compare = auth.hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: seen.append((len(a), len(b))) or compare(a, b))
    for token in (key, key[:-1] + "!", "muster_000000_" + "x" * 43, "nonsense", ""):
        try:
            ring.identify(f"Bearer {token}")
        except Unauthenticated:
            pass
    assert seen == [(64, 64)] * 5


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(keys_file, monkeypatch):
    monkeypatch.setattr(auth, "CHECK_EVERY_S", 0.0)
    old = new_key(keys_file)
    ring = KeyRing(keys_file)
    new = new_key(keys_file, "south")
    assert ring.identify(f"Bearer {new}").tenant == "south"
    keys_file.write_text("{broken")
    assert ring.identify(f"Bearer {old}").tenant == "north"
    assert "line 1" in ring.problem
    keys_file.unlink()
    assert ring.identify(f"Bearer {old}").tenant == "north"
    keys_file.write_text("# nobody\n")
    with pytest.raises(Unauthenticated):
        ring.identify(f"Bearer {old}")
    assert ring.configured


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"id": "abcdef"}', '{"id":"abcdef","tenant":"_x","sha256":"' + "0" * 64 + '"}', "secret-words"]
)
def test_a_wrong_file_refuses_to_start_without_quoting_it(keys_file, line):
    keys_file.write_text(line)
    with pytest.raises(SettingsError, match="line 1") as error:
        read_keys(keys_file)
    assert "secret-words" not in str(error.value)


def test_a_missing_file_and_a_doubled_id_refuse_to_start(keys_file):
    with pytest.raises(SettingsError, match="cannot be read"):
        KeyRing(keys_file)
    new_key(keys_file)
    keys_file.write_text(keys_file.read_text() * 2)
    with pytest.raises(SettingsError, match="twice"):
        KeyRing(keys_file)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("127.9.9.9", 200),
        ("[::1]:8000", 200),
        ("muster.localhost", 200),
        ("Models.School:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.7", 403),
        ("", 403),
        ("[", 403),
        ("localhost, evil.example", 403),
    ],
)
async def test_without_keys_only_known_host_names(open_client, host, status):
    async with open_client(build_services(allowed_hosts=("models.school",))) as client:
        answer = await client.get("/v1/models", headers={"Host": host})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "origin_refused"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8000", 200),
        ("https://app.school", 200),
        ("http://localhost", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://localhost:8000.evil.example", 403),
    ],
)
async def test_without_keys_only_known_origins(open_client, origin, status):
    async with open_client(build_services(allowed_origins=("https://app.school",))) as client:
        headers = {"Host": "localhost:8000", **({"Origin": origin} if origin is not None else {})}
        assert (await client.get("/v1/models", headers=headers)).status_code == status


async def test_default_ports_are_the_same_origin(open_client):
    async with open_client(build_services()) as client:
        headers = {"Host": "localhost", "Origin": "http://localhost:80"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_with_keys_the_key_alone_decides(guarded):
    client, keys = guarded
    headers = {**bearer(keys["infer"]), "Host": "models.school", "Origin": "https://app.school"}
    assert (await client.get("/v1/models", headers=headers)).status_code == 200


def test_an_outside_address_needs_keys(keys_file):
    with pytest.raises(ValidationError, match="MUSTER_KEYS_FILE"):
        Settings(host="0.0.0.0")
    assert Settings(host="0.0.0.0", keys_file=keys_file).host == "0.0.0.0"


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setattr(
        os, "environ", {**os.environ, "MUSTER_ALLOWED_HOSTS": "a.b, c.d", "MUSTER_REDIS_URL": "unix:///x"}
    )
    settings = load_settings()
    assert settings.allowed_hosts == ("a.b", "c.d")
    assert "unix" not in repr(settings)
    monkeypatch.setenv("MUSTER_PORT", "secret-words")
    with pytest.raises(SettingsError, match="port") as error:
        load_settings()
    assert "secret-words" not in str(error.value)
