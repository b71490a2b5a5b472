"""``/docs``: the routes on one self-contained page, because a machine without internet loads nothing from elsewhere."""

import html
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.responses import HTMLResponse

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{margin-bottom:0}details{border:1px solid #d5dde5;border-radius:6px;margin:.4rem 0;padding:.3rem .8rem}
summary{cursor:pointer}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{overflow:auto;background:#f4f7fa;padding:.6rem}
.m{display:inline-block;width:4.5rem;font-weight:600;color:#0b5c8a}input{font:inherit;width:100%;padding:.3rem}
td{padding:.1rem .8rem .1rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{background:#12181f;color:#dbe4ec}pre{background:#1b242e}details{border-color:#33414f}
.m{color:#6fbfe8}}
"""
_SCRIPT = """
const box = document.getElementById("find");
box.addEventListener("input", () => {
  for (const item of document.querySelectorAll("details"))
    item.hidden = !item.textContent.toLowerCase().includes(box.value.toLowerCase());
});
"""


def docs_page(document: Mapping[str, Any]) -> HTMLResponse:
    """The page for an OpenAPI document; nothing on it comes from another place or from a client."""
    nonce = secrets.token_urlsafe(16)
    routes = "".join(_operations(document))
    info = document["info"]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style nonce="{nonce}">{_STYLE}</style>'
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1><p>{html.escape(info['description'])}</p>"
        '<p>The full description for programs: <a href="/openapi.json">/openapi.json</a></p>'
        '<p><input id="find" placeholder="Filter the routes" aria-label="Filter the routes"></p>'
        f'{routes}<script nonce="{nonce}">{_SCRIPT}</script></html>'
    )
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'"
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield (
                f'<details><summary><span class="m">{method.upper()}</span><code>{html.escape(path)}</code> '
                f"{html.escape(operation.get('summary', ''))}</summary>"
                f"<p>{html.escape(operation.get('description', ''))}</p>{_body(document, operation)}"
                f"{_answers(operation)}</details>"
            )


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    """The fields of the request body as a table."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    fields = document["components"]["schemas"].get(name, {}).get("properties", {})
    rows = "".join(
        f"<tr><td><code>{html.escape(field)}</code><td>{html.escape(str(schema.get('description', '')))}"
        for field, schema in fields.items()
    )
    return f"<p>Body <code>{html.escape(name)}</code></p><table>{rows}</table>" if name else ""


def _answers(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(status)}</code><td>{html.escape(answer.get('description', ''))}"
        for status, answer in sorted(operation["responses"].items())
    )
    return f"<table>{rows}</table>"
