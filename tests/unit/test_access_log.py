"""The access log's file: bounded, and shared by several writers."""

from pathlib import Path

import pytest

from serve_app import access_log
from serve_app.access_log import AccessLog
from serve_app.api.exchange import Exchange


def _write(log: AccessLog, count: int) -> None:
    exchange = Exchange("r", started=0.0, deadline=0.0, tenant="t")
    for _ in range(count):
        log.write("/v1/embeddings", "POST", 200, 0.01, exchange)
    log._flush()


def test_a_full_file_makes_way_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MAX_BYTES", 1000)
    log = AccessLog(tmp_path / "access.log")
    _write(log, 20)
    _write(log, 2)
    assert len((tmp_path / "access.log.1").read_text().splitlines()) == 20
    assert len((tmp_path / "access.log").read_text().splitlines()) == 2


def test_a_file_that_another_process_has_just_moved_is_not_moved_again(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("old\n")
    inode = path.stat().st_ino
    path.rename(tmp_path / "access.log.1")
    path.write_text("new\n")
    AccessLog._turn_over(path, inode)
    assert path.read_text() == "new\n"
    assert (tmp_path / "access.log.1").read_text() == "old\n"
