"""``muster generate``, ``muster chat`` and ``muster summarize``: have a running Muster write."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve_app.cli.output import emit, say
from serve_app.cli.serving import JSON, URL

if TYPE_CHECKING:
    from serve_app.cli.client import Client

MODEL = Annotated[str, typer.Option(help="Key, Hugging Face id or role.")]
TOKENS = Annotated[int, typer.Option("--max-tokens", help="New tokens at most.")]
TEMPERATURE = Annotated[float, typer.Option(help="0: always the likeliest token; up to 2.")]
SEED = Annotated[int | None, typer.Option(help="The same seed draws the same tokens, where the model can.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (generate, chat, summarize):
        app.command()(command)


def generate(
    prompt: Annotated[str | None, typer.Argument(help="The text to go on with; with none, all of stdin.")] = None,
    model: MODEL = "chat",
    max_tokens: TOKENS = 256,
    temperature: TEMPERATURE = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends the answer; up to four.")] = None,
    seed: SEED = None,
    json: JSON = False,
    url: URL = None,
) -> None:
    """Go on with a text, token by token."""
    from serve_app.cli.client import Client

    if prompt is None and sys.stdin.isatty():
        raise typer.BadParameter("Give a prompt, or pipe one.")
    body = {
        "model": model,
        "prompt": sys.stdin.read() if prompt is None else prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stop": stop or None,
        "seed": seed,
    }
    if json:
        emit(Client(url).post("/v1/completions", body))
    else:
        _show(choice["text"] for choice in _choices(Client(url), "/v1/completions", body))


def chat(
    message: Annotated[str | None, typer.Argument(help="One message; with none, one a line until the end.")] = None,
    system: Annotated[str | None, typer.Option(help="What the model should keep to.")] = None,
    model: MODEL = "chat",
    max_tokens: TOKENS = 256,
    temperature: TEMPERATURE = 1.0,
    seed: SEED = None,
    json: JSON = False,
    url: URL = None,
) -> None:
    """Chat: one message, or a conversation line by line until Ctrl-D; answers come token by token."""
    from serve_app.cli.client import Client

    client, turns = Client(url), [{"role": "system", "content": system}] if system else []
    options = {"model": model, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    for line in _lines() if message is None else [message]:
        turns.append({"role": "user", "content": line})
        answer = (_whole if json else _streamed)(client, {**options, "messages": turns})
        turns.append({"role": "assistant", "content": answer})


def summarize(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; with none, all of stdin as one.")] = None,
    model: MODEL = "summarize",
    max_words: Annotated[int, typer.Option("--max-words", help="A longer summary is cut after a sentence.")] = 120,
    truncate: Annotated[str, typer.Option(help="What to do with overlong texts: error, end, start.")] = "error",
    json: JSON = False,
    url: URL = None,
) -> None:
    """Summarize texts: one summary a line."""
    from serve_app.cli.client import Client

    if not texts and sys.stdin.isatty():
        raise typer.BadParameter("Give texts, or pipe one.")
    body = {"model": model, "input": texts or [sys.stdin.read()], "max_words": max_words, "truncate": truncate}
    answer = Client(url).post("/v1/summarize", body)
    if json:
        emit(answer)
        return
    for row in answer["data"]:
        print(" ".join(row["summary"].split()))


def _whole(client: "Client", body: dict[str, Any]) -> str:
    answer = client.post("/v1/chat/completions", body)
    emit(answer)
    text: str = answer["choices"][0]["message"]["content"]
    return text


def _streamed(client: "Client", body: dict[str, Any]) -> str:
    choices = _choices(client, "/v1/chat/completions", body)
    return _show(choice["delta"].get("content", "") for choice in choices)


def _choices(client: "Client", path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for chunk in client.stream(path, {**body, "stream": True}):
        yield from chunk["choices"]


def _show(pieces: Iterator[str]) -> str:
    """Print the pieces as they come; the whole text."""
    shown = []
    for piece in pieces:
        shown.append(piece)
        print(piece, end="", flush=True)
    print()
    return "".join(shown)


def _lines() -> Iterator[str]:
    """What the user types, or the lines of a pipe; blank ones are skipped."""
    asks = sys.stdin.isatty()
    if asks:
        say("Ctrl-D ends the chat.")
    while line := _line(asks):
        if line.strip():
            yield line.strip()


def _line(asks: bool) -> str:
    if asks:
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()
