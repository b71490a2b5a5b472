"""The main job through the door that users use. Figures of speed are `make prove`'s business, not a test's."""

import http.client
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.http as triton

from benchmarks.checks import assessment, counters, fairness, hostile, quality
from benchmarks.checks.verdict import Verdict
from benchmarks.server import Server
from deployments.skills.features import INDEX

STSB = [path for path in (Path(__file__).parents[3] / "shared/data/stsb-en-dev.csv",) if path.exists()]


def holds(verdict: Verdict) -> None:
    assert verdict.failed(with_timed=False) == []


def test_embeddings_equal_sentence_transformers_through_the_openai_sdk(server: Server) -> None:
    holds(quality.sdk_equals_reference(server.port))


@pytest.mark.parametrize("file", STSB)
def test_stsb_spearman_equals_the_bare_model(server: Server, file: Path) -> None:
    holds(quality.stsb(server.port, file))


def test_assessments_of_one_and_of_a_hundred_students(server: Server) -> None:
    holds(assessment.measure(server.port, rounds=10, batches=2))


def test_bad_input_gets_the_documented_error(server: Server) -> None:
    holds(hostile.measure(server.port))


def test_tritons_client_gets_what_the_other_routes_give(server: Server) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    texts = ["A short text.", "Grüße 👋"]
    given = triton.InferInput("text", [len(texts)], "BYTES")
    given.set_data_from_numpy(np.array(texts, dtype=np.object_))
    found = client.infer("all-minilm-l6-v2", [given]).as_numpy("embedding")
    told = _post(server, "/v1/embeddings", {"model": "all-minilm-l6-v2", "input": texts})
    assert np.allclose(found, [row["embedding"] for row in told["data"]], atol=1e-6)
    rows = np.full((1, 26), np.nan, dtype=np.float32)
    rows[0, INDEX["empathy_markers"]], rows[0, INDEX["social_processes"]] = 0.25, 0.5
    features = triton.InferInput("features", [1, 26], "FP32")
    features.set_data_from_numpy(rows)
    skill = client.infer("empathy", [features])
    observed = {"linguistic": {"empathy_markers": 0.25, "social_processes": 0.5}}
    assessed = _post(server, "/api/v1/infer/ada/empathy", {"features": observed})
    told = [assessed["score"], assessed["interval"]["lower"], assessed["interval"]["upper"], assessed["confidence"]]
    names = ("score", "lower", "upper", "confidence")
    assert [skill.as_numpy(name).item() for name in names] == pytest.approx(told, abs=1e-6)
    client.close()


def test_bulk_and_interactive_work_both_finish(server: Server) -> None:
    holds(fairness.measure(server.port, seconds=3, bulk_texts=300))


def test_both_gateways_report_the_same_counters(server: Server) -> None:
    holds(counters.measure(server.port))


def test_applications_without_a_route_refuse_on_their_own_ports(server: Server) -> None:
    ports = _listening(server.replicas("all-minilm-l6-v2") + server.replicas("skills"))
    answers = {port: _status(port) for port in ports}
    http = {status for status in answers.values() if status is not None}
    assert http
    assert http <= {404}


def test_nothing_but_ray_listens_beyond_loopback(server: Server) -> None:
    open_to_all = {
        process.name()
        for process in server.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip not in ("127.0.0.1", "::1")
    }
    assert "haproxy" not in open_to_all
    assert "redis-server" not in open_to_all


def test_logs_stay_in_the_data_folder_and_hold_no_text(server: Server, home: Path) -> None:
    marked = "zebrafish-lantern-marker"
    body = f'{{"model": "embedding", "input": "{marked}"}}'.encode()
    request = urllib.request.Request(f"{server.url}/v1/embeddings", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    folders = (home / "logs", server.runtime / "ray")
    files = [Path(root, name) for folder in folders for root, _, names in os.walk(folder) for name in names]
    assert any(file.name == "access.log" for file in files)
    assert [file for file in files if file.is_file() and marked.encode() in file.read_bytes()] == []


def _post(server: Server, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _listening(processes: list[psutil.Process]) -> set[int]:
    return {
        connection.laddr.port
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def _status(port: int) -> int | None:
    """Status of a GET, or None where no HTTP is spoken (the replicas' gRPC ports)."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=3) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError, http.client.HTTPException):
        return None
