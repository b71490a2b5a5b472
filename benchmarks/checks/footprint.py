"""Requirement 9: memory of the starter fleet; and how fast it starts and stops, and what it leaves behind."""

import time

import psutil

from benchmarks.checks.verdict import Verdict
from benchmarks.server import Server
from serve_app.cluster import port_is_free

GIB = 2**30


def memory(server: Server) -> Verdict:
    """PSS of all processes, after the load of the other checks."""
    verdict = Verdict("the starter fleet's processes use at most 3 GiB (PSS)")
    verdict.require_at_most("PSS, GiB", server.pss_bytes() / GIB, 3.0)
    verdict.figures["processes"] = len(server.processes())
    return verdict


def start(server: Server) -> Verdict:
    """Seconds from the command to the first embedding and to everything, for a second start."""
    verdict = Verdict("a second start")
    verdict.at_most("embeddings answer after, s", server.milestones["embeddings"], 45)
    verdict.at_most("everything answers after, s", server.milestones["everything"], 75)
    return verdict


def stop(server: Server) -> Verdict:
    """Ctrl-C: no process, no port, no temporary folder left."""
    verdict = Verdict("Ctrl-C leaves nothing behind")
    processes = server.processes()
    verdict.figures["seconds"] = round(server.stop(), 1)
    _, alive = psutil.wait_procs(processes, timeout=5)
    verdict.figures["left"] = [process.name() for process in alive]
    verdict.require("no process left", not alive)
    deadline = time.monotonic() + 5
    while not port_is_free("127.0.0.1", server.port) and time.monotonic() < deadline:
        time.sleep(0.1)
    verdict.require("the port is free", port_is_free("127.0.0.1", server.port))
    verdict.require("Ray's temporary folder is gone", not (server.runtime / "ray").exists())
    return verdict
