"""The CLI's HTTP client. Standard library only: ``muster embed`` should not wait for a web framework to be imported."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any

from model_store.settings import load_settings as load_store_settings
from serve_app.cli.output import Refused, Unreachable
from serve_app.instance import read_state
from serve_app.settings import ClientSettings

TIMEOUT_S = 310


class Client:
    """Calls one Muster. Raises ``Unreachable`` when nothing answers and ``Refused`` with the server's own words."""

    def __init__(self, url: str | None = None) -> None:
        settings = ClientSettings()
        self.url = (url or settings.url or local_url()).rstrip("/")
        self._key = settings.key

    def get(self, path: str) -> Any:
        return self._ask(urllib.request.Request(self.url + path))  # noqa: S310 - the operator's own address

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask(self._with_body(path, body))

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[Any]:
        """The JSON of each server-sent event, as it comes. An error in the middle raises ``Refused`` too."""
        with self._opened(self._with_body(path, body)) as answer:
            for line in answer:
                data = line.strip().removeprefix(b"data: ")
                if data == b"[DONE]":
                    return
                if data:
                    yield _checked(json.loads(data))
        raise Unreachable(f"The answer of Muster at {self.url} broke off.")

    def _with_body(self, path: str, body: dict[str, Any]) -> urllib.request.Request:
        data = json.dumps(body).encode()
        return urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})  # noqa: S310

    def _ask(self, request: urllib.request.Request) -> Any:
        with self._opened(request) as answer:
            return json.load(answer)

    @contextmanager
    def _opened(self, request: urllib.request.Request) -> Iterator[HTTPResponse]:
        if self._key is not None:
            request.add_header("Authorization", f"Bearer {self._key.get_secret_value()}")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                yield answer
        except urllib.error.HTTPError as error:
            raise Refused(_message(error)) from None
        except TimeoutError as error:
            raise Unreachable(f"Muster at {self.url} did not answer in {TIMEOUT_S} s.") from error
        except (urllib.error.URLError, OSError, ValueError, HTTPException) as error:
            raise Unreachable(
                f"No Muster answers at {self.url}. Start one with `muster up` or `make serve`."
            ) from error


def local_url() -> str:
    """The address of the Muster that runs for this data folder, else the default one."""
    port = read_state(load_store_settings().home).get("port", 8000)
    return f"http://127.0.0.1:{port}"


def _checked(event: Any) -> Any:
    if error := event.get("error"):
        raise Refused(error["message"])
    return event


def _message(error: urllib.error.HTTPError) -> str:
    try:
        body = json.load(error)["error"]
        if isinstance(body, str):
            return f"{error.code}: {body}"
        param = body.get("param")
        # The field's own name, where the message does not begin with it.
        named = f"{param}: " if param and not body["message"].startswith(param) else ""
        return f"{error.code}: {named}{body['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.code}: {error.reason}"
