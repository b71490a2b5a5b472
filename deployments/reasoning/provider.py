"""One attempt at an OpenAI-compatible provider through the ``openai`` SDK, with a meaning for everything that can go wrong.

The SDK's own retries are off: they would go past the limits unseen. Its ten minutes of patience are replaced by the
attempt's own. Nothing that a provider says goes into an error or a log.
"""

import asyncio
import email.utils
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deployments.reasoning.prompt import SCHEMA, Message
from deployments.settings import OPENAI, ReasoningSettings

CONNECT_S = 3.0
CHECK_S = 5.0
LONG_REST_S = 600.0
Format = Literal["json_schema", "json_object", "text"]
FORMATS: tuple[Format, ...] = ("json_schema", "json_object", "text")
NO_TEMPERATURE = ("o1", "o3", "o4", "gpt-5")
_RETRIED = (408, 409, 429)


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back. ``billed``: the provider told the tokens; else they are 0. ``cut``: it was not finished."""

    text: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    billed: bool = True
    cut: bool = False
    refused: bool = False


class AttemptFailed(Exception):
    """An attempt failed. ``again``: another may help, ``after_s`` from now if told. ``rest_s``: how long nobody should ask.

    ``blames``: it says something of the provider's health. ``charged``: it may have cost money all the same.
    """

    def __init__(
        self,
        outcome: str,
        *,
        again: bool = False,
        after_s: float | None = None,
        rest_s: float | None = None,
        blames: bool = True,
        charged: bool = False,
    ) -> None:
        super().__init__(outcome)
        self.outcome, self.again, self.after_s, self.rest_s = outcome, again, after_s, rest_s
        self.blames, self.charged = blames, charged


class OpenAIProvider:
    """One client for one replica. ``key``: None where the provider wants none. ``form``: of the answers, at first."""

    def __init__(self, settings: ReasoningSettings, key: str | None, form: Format = "json_schema") -> None:
        self._settings = settings
        self._format = FORMATS.index(form)
        self._client = self._connect(key)

    @property
    def format(self) -> Format:
        """How the form of the answer is asked for; steps down where the provider cannot."""
        return FORMATS[self._format]

    async def close(self) -> None:
        await self._client.close()

    async def use(self, key: str | None) -> None:
        """Another key from now on."""
        old, self._client = self._client, self._connect(key)
        await old.close()

    async def check(self) -> None:
        """Ask for the model's entry. Raises ``AttemptFailed``: ``unauthorised``, ``forbidden``, ``unknown_model``, ..."""
        await self._guarded(CHECK_S, lambda: self._client.models.retrieve(self._settings.model))

    async def ask(self, messages: Sequence[Message], seconds: float) -> Completion:
        """One attempt of at most so many seconds. Raises ``AttemptFailed``."""
        answer = await self._guarded(seconds, lambda: self._client.chat.completions.create(**self._request(messages)))
        return _completion(answer)

    async def _guarded(self, seconds: float, call: Any) -> Any:
        import openai

        try:
            # The SDK's time limit is for each read; a slow stream of bytes would never meet it.
            async with asyncio.timeout(seconds):
                return await call()
        except (TimeoutError, openai.APITimeoutError):
            raise AttemptFailed("timeout", again=True, charged=True) from None
        except openai.APIStatusError as error:
            raise self._meaning(error) from None
        except openai.APIConnectionError:
            raise AttemptFailed("unreachable", again=True, charged=True) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, KeyError, IndexError):
            # An answer that is no answer: not JSON, or not of this shape.
            raise AttemptFailed("bad_answer", again=True, charged=True) from None

    def _meaning(self, error: Any) -> AttemptFailed:
        status = int(error.status_code)
        if status in (401, 403):
            return AttemptFailed("unauthorised" if status == 401 else "forbidden", rest_s=LONG_REST_S)
        if status == 404:
            return AttemptFailed("unknown_model", rest_s=LONG_REST_S)
        if status in (400, 422) and self._format + 1 < len(FORMATS) and _is_about_the_format(error):
            self._format += 1
            return AttemptFailed("unsupported_format", again=True, after_s=0.0, blames=False)
        if status in _RETRIED or status >= 500:
            outcome = "rate_limited" if status == 429 else "server_error"
            return AttemptFailed(outcome, again=True, after_s=_retry_after(error.response.headers))
        return AttemptFailed("refused", blames=False)

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        settings = self._settings
        official = settings.url == OPENAI
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": list(messages),
            "max_completion_tokens" if official else "max_tokens": settings.max_tokens,
        }
        if settings.temperature is not None and not settings.model.startswith(NO_TEMPERATURE):
            request["temperature"] = settings.temperature
        if official:
            request["store"] = False
        if self.format == "json_schema":
            request["response_format"] = {"type": "json_schema", "json_schema": dict(SCHEMA)}
        elif self.format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _connect(self, key: str | None) -> Any:
        import httpx2
        import openai

        seconds = self._settings.timeout_s
        # Redirects stay off: the key goes to the configured host only. No proxy or key of the environment either.
        http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(seconds, connect=CONNECT_S), follow_redirects=False, trust_env=False
        )
        return openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=self._settings.url,
            max_retries=0,
            timeout=httpx2.Timeout(seconds, connect=CONNECT_S),
            http_client=http,
            organization=None,
            project=None,
        )


def _completion(answer: Any) -> Completion:
    """The SDK's object, read with care: compatible servers leave things out. Raises ``AttemptFailed``."""
    try:
        choice = answer.choices[0]
        message, usage = choice.message, getattr(answer, "usage", None)
        content = message.content or ""
        if not isinstance(content, str):
            raise TypeError
        refused = bool(getattr(message, "refusal", None)) or choice.finish_reason == "content_filter"
        details = getattr(usage, "prompt_tokens_details", None)
        return Completion(
            text=content,
            prompt_tokens=_count(usage, "prompt_tokens"),
            cached_tokens=_count(details, "cached_tokens"),
            completion_tokens=_count(usage, "completion_tokens"),
            billed=_count(usage, "prompt_tokens") > 0,
            cut=choice.finish_reason == "length",
            refused=refused,
        )
    except (AttributeError, IndexError, TypeError, KeyError):
        raise AttemptFailed("bad_answer", again=True, charged=True) from None


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and 0 <= value < 10**9 else 0


def _is_about_the_format(error: Any) -> bool:
    """Whether a refusal is about structured output; only looked at, never repeated."""
    text = f"{getattr(error, 'message', '')} {getattr(error, 'body', '')}".lower()
    return any(word in text for word in ("response_format", "json_schema", "json_object", "structured"))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks for."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (TypeError, ValueError):
            return None
