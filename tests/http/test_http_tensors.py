"""The Open Inference Protocol v2, in JSON and in hand-made bytes."""

import json
import struct

import numpy as np
import pytest
from http_fakes import DIMENSIONS, MINILM, build_services, vector

from deployments.call import ModelState
from deployments.errors import ContextLengthExceeded, ModelNotReady, Overloaded
from deployments.skills.features import FEATURES, INDEX, SKILLS, vector_names
from model_store.catalogue import RESERVED_KEYS, Prefixes
from serve_app.auth import append_key, create_key

READY = ModelState("ready", None, 1)
TEXT = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["one", "two words"]}


def features(rows, columns=26, **observed):
    """Rows of NaN with some features observed, as a list for JSON."""
    values = np.full((rows, columns), np.nan)
    for name, value in observed.items():
        values[:, INDEX[name]] = value
    data = [None if value != value else value for value in values.ravel().tolist()]
    return {"name": "features", "shape": [rows, columns], "datatype": "FP32", "data": data}


async def infer(client, key, *inputs, **body):
    return await client.post(f"/v2/models/{key}/infer", json={"inputs": list(inputs), **body})


def framed(body, *raw):
    head = json.dumps(body).encode()
    return head + b"".join(raw), {"Inference-Header-Content-Length": str(len(head))}


def texts(*values):
    raw = [value.encode() if isinstance(value, str) else value for value in values]
    return b"".join(struct.pack("<I", len(each)) + each for each in raw)


def tensors(answer):
    """A binary answer's outputs by name."""
    length = int(answer.headers["inference-header-content-length"])
    body, tail, found = json.loads(answer.content[:length]), answer.content[length:], {}
    for output in body["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]], tail = tail[:size], tail[size:]
    assert tail == b""
    return body, found


async def test_server_and_health(client, fleet):
    assert (await client.get("/v2")).json()["extensions"] == ["binary_tensor_data"]
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"ready": True}
    fleet.known = {"skills": READY}
    waiting = await client.get("/v2/health/ready")
    assert (waiting.status_code, waiting.headers["retry-after"]) == (503, "2")
    assert "minilm" in waiting.json()["error"]


async def test_metadata_of_a_text_model_and_of_a_skill(client):
    found = (await client.get("/v2/models/minilm")).json()
    assert found["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert found["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, DIMENSIONS]}]
    assert (found["platform"], found["versions"]) == ("fake-minilm", ["1"])
    skill = (await client.get("/v2/models/empathy/versions/1")).json()
    assert skill["inputs"][0]["shape"] == [-1, 26]
    assert skill["parameters"]["features"].split(",") == list(vector_names("empathy"))
    assert [output["name"] for output in skill["outputs"]] == ["score", "lower", "upper", "confidence"]


async def test_a_model_is_ready_or_says_why_not(client, fleet):
    assert (await client.get("/v2/models/minilm/ready")).json() == {"name": "minilm", "ready": True}
    assert (await client.get("/v2/models/minilm/versions/1/ready")).status_code == 200
    fleet.known = {"minilm": ModelState("failed", "a file differs")}
    broken = await client.get("/v2/models/minilm/ready")
    assert (broken.status_code, "a file differs" in broken.json()["error"]) == (503, True)
    assert (await client.get("/v2/models/moods/ready")).status_code == 503


@pytest.mark.parametrize("name", ["embedding", "emotion", MINILM.id.replace("/", "%2F"), "nobody"])
async def test_only_keys_are_names(client, name):
    answer = await client.get(f"/v2/models/{name}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize("path", ["", "/ready", "/infer"])
async def test_there_is_one_version(client, path):
    method = client.post if path == "/infer" else client.get
    answer = await method(f"/v2/models/minilm/versions/2{path}")
    assert (answer.status_code, answer.json()["error"]) == (404, "The model has one version at a time, 1.")


async def test_embeddings_in_json(client):
    answer = await infer(client, "minilm", TEXT, id="mine")
    body = answer.json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("minilm", "1", "mine")
    assert body["parameters"] == {"revision": "r" * 40, "fallback": False}
    (output,) = body["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("embedding", "FP32", [2, DIMENSIONS])
    wanted = np.concatenate([vector("one"), vector("two words")])
    assert np.array_equal(np.float32(output["data"]), wanted)
    assert (answer.headers["x-model"], answer.headers["x-fallback"]) == ("minilm", "false")


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/json"])
@pytest.mark.parametrize("shape", [[3], [3, 1]])
async def test_embeddings_in_bytes(client, content_type, shape):
    raw = texts("one", "", "Grüße 👋")
    head = {"name": "text", "shape": shape, "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    content, headers = framed({"inputs": [head], "parameters": {"binary_data_output": True}}, raw)
    if content_type:
        headers["Content-Type"] = content_type
    answer = await client.post("/v2/models/minilm/infer", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    _, found = tensors(answer)
    wanted = np.stack([vector("one"), vector(""), vector("Grüße 👋")])
    assert np.array_equal(np.frombuffer(found["embedding"], "<f4").reshape(3, -1), wanted)


async def test_a_classifier_gives_scores_and_their_labels(client, fleet):
    outputs = [{"name": "labels", "parameters": {"binary_data": True}}, {"name": "scores"}]
    answer = await infer(client, "moods", TEXT, outputs=outputs)
    length = int(answer.headers["inference-header-content-length"])
    labels, scores = json.loads(answer.content[:length])["outputs"]
    assert (labels["name"], labels["shape"], scores["shape"]) == ("labels", [3], [2, 3])
    assert answer.content[length:] == texts("joy", "anger", "neutral")
    assert np.allclose(np.reshape(scores["data"], (2, 3)), [[0.7, 0.2, 0.1]] * 2)
    only = (await infer(client, "moods", TEXT, outputs=[{"name": "scores"}])).json()
    assert [output["name"] for output in only["outputs"]] == ["scores"]


async def test_zero_shot_takes_its_labels_as_a_second_input(client, fleet):
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["on sport"]}
    labels = {"name": "labels", "shape": [2], "datatype": "BYTES", "data": ["sport", "money"]}
    body = (await infer(client, "entails", labels, text, parameters={"multi_label": True})).json()
    assert body["outputs"][0]["data"] == pytest.approx([1, 1 / 9])
    assert body["outputs"][1]["data"] == ["sport", "money"]
    assert fleet.calls[-1][1][0]["multi_label"] is True
    labels["data"] = ["sport", "sport"]
    assert (await infer(client, "entails", text, labels)).json()["error"].startswith("labels[1]:")


async def test_parameters_reach_the_model(client, fleet, monkeypatch):
    monkeypatch.setattr(MINILM, "prefixes", Prefixes(query="query: ", passage="passage: "))
    await infer(client, "minilm", TEXT, parameters={"truncate": "end", "input_type": "passage"})
    assert fleet.calls[-1][1:3] == (["passage: one", "passage: two words"], {"truncate": "end"})
    fleet.truncated = ({"index": 0, "tokens": 9, "kept": 8},)
    body = (await infer(client, "minilm", TEXT, parameters={"timeout": 5_000_000})).json()
    assert json.loads(body["parameters"]["truncated"]) == [{"index": 0, "tokens": 9, "kept": 8}]
    assert 0 < fleet.calls[-1][3].remaining() <= 5


@pytest.mark.parametrize("skill", SKILLS)
@pytest.mark.parametrize("columns", [25, 26])
async def test_a_skill_scores_rows_of_features(client, fleet, skill, columns):
    given = features(3, columns, empathy_markers=0.2, word_count=120)
    body = (await infer(client, skill, given)).json()
    assert fleet.calls[-1][0] == "skills"
    assert fleet.calls[-1][2]["skills"] == [skill]
    row = fleet.calls[-1][1][0]
    assert row.get("empathy_markers") == pytest.approx(0.2)
    assert row.values.count(None) == 23
    by_name = {output["name"]: output for output in body["outputs"]}
    assert by_name["score"]["shape"] == [3, 1]
    assert by_name["score"]["data"] == pytest.approx([0.08] * 3)
    assert (by_name["lower"]["data"][0], by_name["upper"]["data"][0]) == pytest.approx((0.1, 0.9))
    assert by_name["confidence"]["data"][0] == pytest.approx(0.7)


async def test_the_last_column_may_be_the_product_and_nothing_else(client):
    given = features(1, 26, empathy_markers=0.2, social_processes=0.5)
    given["data"][25] = 0.1
    assert (await infer(client, "empathy", given)).status_code == 200
    given["data"][25] = 0.3
    answer = await infer(client, "empathy", given)
    assert (answer.status_code, answer.json()["error"][:15]) == (400, "features[0][25]")


async def test_bounds_hold_as_float32_too(client, fleet):
    name = "flesch_reading_ease" if "flesch_reading_ease" in INDEX else FEATURES[11].name
    high = FEATURES[INDEX[name]].high
    raw = np.full((1, 25), np.nan, "<f4")
    raw[0, INDEX[name]] = high
    head = {"name": "features", "shape": [1, 25], "datatype": "FP32", "parameters": {"binary_data_size": 100}}
    content, headers = framed({"inputs": [head]}, raw.tobytes())
    answer = await client.post("/v2/models/empathy/infer", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert fleet.calls[-1][1][0].get(name) <= high


def wrong(**fields):
    return {"inputs": [{**TEXT, **fields}]}


@pytest.mark.parametrize(
    ("key", "body", "named"),
    [
        ("minilm", wrong(datatype="FP32"), "text: It must have the datatype BYTES"),
        ("minilm", wrong(shape=[2, 2]), "text: Its shape must be [-1] or [-1, 1]"),
        ("minilm", wrong(shape=[3]), "text: 2 values do not make the shape [3]"),
        ("minilm", wrong(shape=[0], data=[]), "text: It must have 1 to 2048 rows"),
        ("minilm", wrong(shape=[2049], data=[""] * 2049), "text: It must have 1 to 2048 rows"),
        ("minilm", wrong(shape=[-1]), "rows"),
        ("minilm", wrong(data=["a", 1]), "text[1]"),
        ("minilm", wrong(data=["a", "\x00"]), "text[1]"),
        ("minilm", wrong(name="words"), "takes: text"),
        ("minilm", {"inputs": [TEXT, TEXT]}, "takes: text"),
        ("minilm", {"inputs": []}, "inputs"),
        ("minilm", {**wrong(), "outputs": [{"name": "scores"}]}, "there are: embedding"),
        ("minilm", {**wrong(), "outputs": [{"name": "embedding"}] * 2}, "there are: embedding"),
        ("minilm", {**wrong(), "outputs": [{"name": "embedding", "parameters": {"classification": 2}}]}, "binary_data"),
        ("minilm", {**wrong(), "parameters": {"priority": 1}}, "priority"),
        ("minilm", {**wrong(), "parameters": {"binary_data_output": 1}}, "binary_data_output"),
        ("minilm", {**wrong(), "parameters": {"truncate": "middle"}}, "truncate"),
        ("minilm", {**wrong(), "unknown": 1}, "unknown"),
        ("minilm", wrong(parameters={"shared_memory_region": "x"}), "binary_data_size"),
        ("minilm", wrong(parameters={"binary_data_size": 3}), "without data"),
        ("empathy", {"inputs": [features(1, 24)]}, "[-1, 26] or [-1, 25]"),
        ("empathy", {"inputs": [features(1)]}, "features[0]: Give at least one"),
        ("empathy", {"inputs": [features(2, empathy_markers=1.5)]}, "features[0][0]: empathy_markers is out of range"),
        ("empathy", {"inputs": [{**features(1), "data": [True] * 26}]}, "features[0]: It must be a number"),
        ("empathy", {"inputs": [{**features(1), "datatype": "FP64"}]}, "features: It must have the datatype FP32"),
        ("empathy", {"inputs": [features(1, word_count=1)], "parameters": {"truncate": "end"}}, "truncate"),
    ],
)
async def test_what_is_wrong_is_named(client, key, body, named):
    answer = await client.post(f"/v2/models/{key}/infer", json=body)
    assert (answer.status_code, named in answer.json()["error"]) == (400, True), answer.text
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("size", "raw", "length"),
    [
        (9, texts("one", "two") + b"x", None),
        (14, texts("one", "two")[:-1] + b"", None),
        (14, struct.pack("<I", 2**31) + b"one" + texts("two"), None),
        (14, texts("one", b"\xff\xfe\xfd"), None),
        (7, texts("one"), None),
        (14, texts("one", "two"), "999999"),
        (14, texts("one", "two"), "-1"),
        (14, texts("one", "two"), "1"),
    ],
)
async def test_broken_bytes_are_a_clients_error(client, size, raw, length):
    head = {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    content, headers = framed({"inputs": [head]}, raw)
    if length is not None:
        headers["Inference-Header-Content-Length"] = length
    answer = await client.post("/v2/models/minilm/infer", content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    ("error", "status"),
    [(ModelNotReady("minilm"), 503), (Overloaded(3), 429), (ContextLengthExceeded("too long"), 400)],
)
async def test_errors_are_one_text(client, fleet, error, status):
    fleet.error = error
    answer = await infer(client, "minilm", TEXT)
    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})
    assert ("retry-after" in answer.headers) == (status in (429, 503))


async def test_other_routes_keep_their_content_type(client):
    content = json.dumps({"model": "minilm", "input": "a"})
    for headers in ({"Content-Type": "application/octet-stream"}, {}):
        assert (await client.post("/v1/embeddings", content=content, headers=headers)).status_code == 415
    refused = await client.post("/v2/models/minilm/infer", content=b"x", headers={"Content-Type": "text/plain"})
    assert (refused.status_code, isinstance(refused.json()["error"], str)) == (415, True)


async def test_keys_are_asked_for(fleet, open_client, tmp_path):
    key, stored = create_key("north", ("infer",))
    append_key(tmp_path / "keys.jsonl", stored)
    async with open_client(build_services(fleet, keys=tmp_path / "keys.jsonl")) as client:
        refused = await client.get("/v2/models/minilm")
        assert (refused.status_code, isinstance(refused.json()["error"], str)) == (401, True)
        allowed = await client.get("/v2/models/minilm", headers={"Authorization": f"Bearer {key}"})
        assert allowed.status_code == 200
        assert (await client.get("/v2/health/live")).status_code == 200


def test_no_model_of_the_catalogue_can_take_a_skills_name():
    assert set(SKILLS) <= RESERVED_KEYS
