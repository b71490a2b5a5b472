"""The fake hub is what the real huggingface_hub takes for a hub."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers

from tests.fake_hub import GOOD_TOKEN, FakeHub

WEIGHTS = bytes(range(256)) * 400
FILES = {
    "README.md": b"# A model\n",
    "config.json": b'{"model_type": "bert"}',
    "1_Pooling/config.json": b"{}",
    "model.safetensors": WEIGHTS,
}
REPO = "org/name"


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "source"


@pytest.fixture
def hub(monkeypatch) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with FakeHub() as hub:
        yield hub


def pull(hub: FakeHub, name: str, target: Path, revision: str = "main", token: str | bool = False) -> bytes:
    path = hf_hub_download(REPO, name, revision=revision, local_dir=target, endpoint=hub.endpoint, token=token)
    return Path(path).read_bytes()


def test_the_real_client_pulls_a_repository(hub, folder, tmp_path):
    commit = hub.add(REPO, folder)
    info = HfApi(endpoint=hub.endpoint).model_info(REPO, revision="main", files_metadata=True)
    assert info.sha == commit
    assert len(commit) == 40
    assert {file.rfilename: file.size for file in info.siblings} == {name: len(data) for name, data in FILES.items()}
    for file in info.siblings:
        content = pull(hub, file.rfilename, tmp_path / "target", commit)
        assert content == FILES[file.rfilename]
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        assert (file.lfs.sha256 == hashlib.sha256(content).hexdigest()) if file.lfs else (file.blob_id == blob)
    assert hub.calls == {"GET api": 1, "HEAD resolve": 4, "GET resolve": 3, "GET cdn": 1}
    assert hub.total == 9


def test_a_repository_without_an_owner_is_one_too(hub, folder):
    commit = hub.add("gpt2", folder)
    api = HfApi(endpoint=hub.endpoint)
    assert api.model_info("gpt2").sha == commit
    assert api.model_info("gpt2", revision=commit).sha == commit
    assert len(list(api.list_repo_tree("gpt2"))) == 4


def test_the_tree_lists_files_and_folders(hub, folder):
    commit = hub.add(REPO, folder)
    api = HfApi(endpoint=hub.endpoint)
    assert {entry.path for entry in api.list_repo_tree(REPO)} == {
        *("README.md", "config.json", "1_Pooling", "model.safetensors"),
    }
    everything = {entry.path: entry for entry in api.list_repo_tree(REPO, recursive=True, revision=commit)}
    assert set(everything) == {*FILES, "1_Pooling"}
    assert everything["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert [entry.path for entry in api.list_repo_tree(REPO, "1_Pooling")] == ["1_Pooling/config.json"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(REPO, "none"))


def test_large_files_come_from_another_origin_with_their_true_etag(hub, folder):
    commit = hub.add(REPO, folder)
    head = httpx.head(f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors")
    assert head.status_code == 302
    assert head.headers["X-Repo-Commit"] == commit
    assert head.headers["X-Linked-Etag"] == f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'
    assert head.headers["X-Linked-Size"] == str(len(WEIGHTS))
    assert head.headers["Location"].startswith(f"{hub.cdn}/cdn/")
    assert not any(name.startswith("x-xet") for name in head.headers)


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-9", 206, WEIGHTS[:10]),
        ("bytes=100-", 206, WEIGHTS[100:]),
        ("bytes=-7", 206, WEIGHTS[-7:]),
        ("bytes=5-999999", 206, WEIGHTS[5:]),
        (f"bytes={len(WEIGHTS)}-", 416, b""),
        ("lines=1-2", 200, WEIGHTS),
    ],
)
def test_ranges(hub, folder, asked, status, expected):
    hub.add(REPO, folder)
    url = f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors"
    answer = httpx.get(url, headers={"Range": asked}, follow_redirects=True)
    assert (answer.status_code, answer.content) == (status, expected)


def test_a_gated_repository_shows_its_card_and_keeps_its_files(hub, folder, tmp_path):
    hub.add(REPO, folder, gated=True)
    assert HfApi(endpoint=hub.endpoint, token=False).model_info(REPO).gated == "auto"
    for token, status in ((False, 401), ("bad-token", 403)):
        with pytest.raises(GatedRepoError) as caught:
            pull(hub, "config.json", tmp_path / "target", token=token)
        assert caught.value.response.status_code == status
    assert pull(hub, "model.safetensors", tmp_path / "target", token=GOOD_TOKEN) == WEIGHTS


def test_what_is_not_there(hub, folder, tmp_path):
    hub.add(REPO, folder)
    api = HfApi(endpoint=hub.endpoint, token=False)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("org/none")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="0" * 40)
    with pytest.raises(RevisionNotFoundError):
        pull(hub, "config.json", tmp_path / "target", revision="v9")
    with pytest.raises(EntryNotFoundError):
        pull(hub, "none.json", tmp_path / "target")
    assert httpx.get(f"{hub.endpoint}/nothing").status_code == 404
    assert hub.statuses == {404: 5}


def test_main_moves_on_and_older_commits_stay(hub, folder, tmp_path):
    first = hub.add(REPO, folder)
    assert hub.update(REPO, folder) == first
    (folder / "config.json").write_bytes(b'{"model_type": "t5"}')
    second = hub.update(REPO, folder)
    assert HfApi(endpoint=hub.endpoint).model_info(REPO).sha == second != first
    assert pull(hub, "config.json", tmp_path / "a", first) == FILES["config.json"]
    assert pull(hub, "config.json", tmp_path / "b", second) == b'{"model_type": "t5"}'


def test_every_answer_tells_the_rate_limit(hub, folder):
    hub.add(REPO, folder)
    for path in (f"/api/models/{REPO}", f"/{REPO}/resolve/main/config.json", "/api/models/none"):
        limit = parse_ratelimit_headers(httpx.get(hub.endpoint + path).headers)
        assert (limit.limit, limit.window_seconds) == (3000, 300)
        assert limit.remaining > 0


def test_a_storm_limits_the_rate_of_its_share_of_calls(hub, folder):
    hub.add(REPO, folder)
    hub.storm(rate_limited=0.9, seed=3)
    with httpx.Client() as client:
        answers = [client.get(f"{hub.endpoint}/api/models/{REPO}") for _ in range(300)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 250 < len(refused) < 290
    limit = parse_ratelimit_headers(refused[0].headers)
    assert (limit.remaining, limit.reset_in_seconds) == (0, 0)
    assert hub.calls["GET api"] == 300
    assert hub.statuses[429] == len(refused)
    hub.storm(rate_limited=1.0)
    with pytest.raises(HfHubHTTPError, match="429"):
        HfApi(endpoint=hub.endpoint).model_info(REPO)
    hub.calm()
    assert HfApi(endpoint=hub.endpoint).model_info(REPO).sha


def test_a_storm_corrupts_downloads_and_not_the_file(hub, folder):
    hub.add(REPO, folder)
    hub.storm(corrupt=0.2, seed=1)
    with httpx.Client(follow_redirects=True) as client:
        url = f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors"
        contents = [client.get(url).content for _ in range(100)]
    assert {len(content) for content in contents} == {len(WEIGHTS)}
    wrong = [content for content in contents if content != WEIGHTS]
    assert 8 < len(wrong) < 35
    assert all(sum(a != b for a, b in zip(content, WEIGHTS, strict=True)) == 1 for content in wrong)


def test_a_storm_cuts_bodies_short(hub, folder):
    hub.add(REPO, folder)
    hub.storm(cut=1.0, seed=5)
    with httpx.Client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{hub.endpoint}/{REPO}/resolve/main/config.json")
    hub.storm(cut=0.5, seed=6)
    outcomes = set()
    with httpx.Client(follow_redirects=True) as client:
        for _ in range(20):
            try:
                outcomes.add(client.get(f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors").content == WEIGHTS)
            except httpx.RemoteProtocolError:
                outcomes.add(None)
    assert outcomes == {True, None}


def test_the_real_client_resumes_after_a_cut(hub, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    # The client keeps whole chunks only; its own are larger than this file.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1024)
    hub.add(REPO, folder)
    hub.storm(cut=0.5, seed=2)
    assert pull(hub, "model.safetensors", tmp_path / "target") == WEIGHTS
    assert hub.statuses[206] >= 1


def test_many_at_once(hub, folder):
    hub.add(REPO, folder)

    def call() -> None:
        assert httpx.get(f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors", follow_redirects=True).is_success

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.total == 32
