"""``docs/http.md`` against the code: every code, route and setting it owes its readers."""

import re
from pathlib import Path

import pytest
from http_fakes import build_services

from serve_app.api.app import create_app
from serve_app.api.errors import HTTP_ROWS, TABLE
from serve_app.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
INTERNAL = {"client_closed_request", "body_too_large"}


@pytest.mark.parametrize(
    "code", sorted({row.code for row in [*TABLE.values(), *(row for row, _ in HTTP_ROWS.values())]} - INTERNAL)
)
def test_every_error_code_is_documented(code):
    assert f"`{code}`" in TEXT


def test_every_route_is_documented():
    app = create_app(build_services())
    for route in app.routes:
        path = route.path.replace("{model_id:path}", "{id}")
        assert path in TEXT, path


def test_limits_are_those_of_the_settings():
    fields = Settings.model_fields
    named = {name.lower() for name in re.findall(r"MUSTER_([A-Z_]+)", TEXT)}
    assert named <= set(fields)
    assert f"body_larger_than_{fields['max_body_bytes'].default}_bytes" in TEXT
    assert f"{fields['max_text_chars'].default:,} characters" in TEXT
