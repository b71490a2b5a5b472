"""Triton's own client against a running server, with the binary tensors that it sends by default."""

import numpy as np
import pytest
import tritonclient.http as triton
from http_fakes import FakeFleet, build_services, serving, vector
from tritonclient.utils import InferenceServerException

from deployments.skills.features import INDEX


@pytest.fixture(scope="module")
def client():
    with serving(build_services(FakeFleet())) as url:
        client = triton.InferenceServerClient(url.removeprefix("http://"))
        yield client
        client.close()


def of_texts(*texts):
    tensor = triton.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=np.object_))
    return tensor


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("minilm")
    assert not client.is_model_ready("moods")
    assert client.get_server_metadata()["name"] == "muster"
    assert client.get_model_metadata("empathy", "1")["inputs"][0]["datatype"] == "FP32"


def test_a_text_model(client):
    result = client.infer("minilm", [of_texts("one", "Grüße")], request_id="7")
    found = result.as_numpy("embedding")
    assert np.array_equal(found, np.stack([vector("one"), vector("Grüße")]))
    assert result.get_response()["id"] == "7"


def test_labels_come_as_bytes(client):
    outputs = [triton.InferRequestedOutput("labels"), triton.InferRequestedOutput("scores", binary_data=False)]
    result = client.infer("moods", [of_texts("one")], outputs=outputs, model_version="1")
    assert result.as_numpy("labels").tolist() == [b"joy", b"anger", b"neutral"]
    assert result.as_numpy("scores") == pytest.approx(np.float32([[0.7, 0.2, 0.1]]))


def test_a_skill_model(client):
    rows = np.full((2, 26), np.nan, dtype=np.float32)
    rows[:, INDEX["word_count"]] = [10, 20]
    tensor = triton.InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    result = client.infer("resilience", [tensor])
    assert result.as_numpy("score").shape == (2, 1)
    assert result.as_numpy("score") == pytest.approx(np.float32([[0.04], [0.04]]))
    assert result.as_numpy("upper") == pytest.approx(np.float32([[0.9], [0.9]]))


def test_an_error_reaches_the_client_as_its_text(client):
    with pytest.raises(InferenceServerException, match="takes: features"):
        client.infer("empathy", [of_texts("one")])
    with pytest.raises(InferenceServerException, match="nobody"):
        client.infer("nobody", [of_texts("one")])
