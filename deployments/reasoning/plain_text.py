"""Plain text from the operator's language model, for flows beside the assessment: same provider, limits, budget and key.

The limits are those of all replicas and of the assessments too, because they are kept in one log in Redis. Nothing is
prepared before the first text is asked for. What comes back is as the model wrote it: who asks checks it.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from deployments.breaker import Breaker
from deployments.errors import DeploymentError
from deployments.reasoning.ledger import Caps, Ledger, MemoryLedger, RedisLedger
from deployments.reasoning.prices import NANO, Price, Prices, free, load_prices
from deployments.reasoning.prompt import Message
from deployments.reasoning.provider import AttemptFailed, Completion, OpenAIProvider
from deployments.reasoning.tokens import CHARACTERS_PER_TOKEN, TokenCounter, load_counter, safe_limit
from deployments.redis_link import RedisLink
from deployments.secret_chain import Secrets, secrets_of
from deployments.settings import OPENAI, ReasoningSettings, SecretSettings, is_local
from deployments.wire import WordsAsked

KEY_NAME = "openai-api-key"
ATTEMPTS = 2
LEAST_S, MARGIN_S = 0.2, 0.05
NO_LIMITER = "limiter_unavailable"
UNPREPARED_S = 30.0
"""After a preparation that failed nobody tries again for so long."""
_log = logging.getLogger("ray.serve.muster")


class NoText(Exception):
    """The template has to do; ``reason`` is one of our own words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PlainTextModel:
    """``what``: the flow, in metrics. ``link``: None where there is no Redis; then only ``limiter: memory`` gives permits."""

    def __init__(
        self,
        link: RedisLink | None,
        tell: Callable[[str, WordsAsked], None] = lambda what, event: None,
        settings: ReasoningSettings | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._link, self._tell = link, tell
        self._settings = settings or ReasoningSettings()
        self._secrets = secrets
        self._lock = asyncio.Lock()
        self._provider: OpenAIProvider | None = None
        self._ledger: Ledger | None = None
        self._counter: TokenCounter | None = None
        self._prices: Prices | None = None
        self._unprepared_until = 0.0
        self._problem: str | None = None
        self.breaker = Breaker()

    @property
    def configured(self) -> bool:
        """Whether the operator wants a language model at all."""
        return self._settings.mode != "off"

    @property
    def name(self) -> str:
        return self._settings.model

    def describe(self) -> dict[str, Any]:
        """For ``/health/detailed`` and ``/v1/capabilities``, of this process; no secret and no address is in it."""
        if not self.configured:
            return {"status": "healthy", "reason": None, "configured": False, "model": None, "breaker": None}
        reason = None
        if self.breaker.state != "closed":
            reason = f"the provider is not asked for now: {self.breaker.reason}"
        elif problem := self._problem or self._lacking():
            reason = f"it cannot be asked: {problem}"
        status = "degraded" if reason else "healthy"
        return {
            "status": status,
            "reason": reason,
            "configured": True,
            "model": self.name,
            "breaker": self.breaker.state,
        }

    async def close(self) -> None:
        if self._provider is not None:
            await self._provider.close()

    async def write(self, messages: Sequence[Message], deadline: float, what: str) -> str:
        """The text. ``deadline``: monotonic. Raises ``NoText``."""
        try:
            text = await self._write(messages, deadline, what)
        except NoText as none:
            self._tell(what, WordsAsked(self.name, what, writer=none.reason))
            raise
        self._tell(what, WordsAsked(self.name, what, writer="llm"))
        return text

    async def _write(self, messages: Sequence[Message], deadline: float, what: str) -> str:
        if not self.configured:
            raise NoText("not_configured")
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                provider, ledger, counter = await self._prepared()
                prompt = counter.count(messages)
                if prompt > min(self._settings.max_prompt_tokens or safe_limit(self.name), safe_limit(self.name)):
                    raise NoText("prompt_too_long")
                return await self._attempts(provider, ledger, messages, prompt, deadline, what)
        except TimeoutError:
            raise NoText("deadline") from None
        except DeploymentError as error:
            _log.warning("The language model of the flows cannot be used: %s", type(error).__name__)
            raise NoText("not_configured") from None

    async def _attempts(
        self,
        provider: OpenAIProvider,
        ledger: Ledger,
        messages: Sequence[Message],
        prompt: int,
        deadline: float,
        what: str,
    ) -> str:
        for attempt in range(ATTEMPTS):
            seconds = min(self._settings.timeout_s, deadline - MARGIN_S - time.monotonic())
            if seconds < LEAST_S:
                raise NoText("deadline")
            try:
                completion = await self._attempt(provider, ledger, messages, prompt, seconds, what)
            except AttemptFailed as failed:
                wait = 0.25 if failed.after_s is None else failed.after_s
                late = time.monotonic() + wait + LEAST_S >= deadline
                if not failed.again or attempt + 1 == ATTEMPTS or late:
                    raise NoText(failed.outcome) from None
                await asyncio.sleep(wait)
                continue
            if completion.refused or completion.cut or not completion.text.strip():
                raise NoText("provider_refused" if completion.refused else "cut_off" if completion.cut else "empty")
            return completion.text.strip()
        raise AssertionError("the last attempt raises")

    async def _attempt(
        self,
        provider: OpenAIProvider,
        ledger: Ledger,
        messages: Sequence[Message],
        prompt: int,
        seconds: float,
        what: str,
    ) -> Completion:
        """One attempt with a permit of its own. Raises ``NoText`` without one, and ``AttemptFailed``."""
        if not self.breaker.willing:
            raise NoText("breaker_open")
        price = self._price()
        dearest = price.nano_usd(prompt, 0, self._settings.max_tokens) if price else 0
        permit = await ledger.permit(dearest)
        if permit.refusal:
            raise NoText(permit.refusal)
        if not self.breaker.admit():
            await ledger.settle(permit, 0)
            raise NoText("breaker_open")
        try:
            completion = await provider.ask(messages, seconds)
        except AttemptFailed as failed:
            await self._learn(failed)
            await ledger.settle(permit, dearest if failed.charged else 0)
            self._tell(what, WordsAsked(self.name, what, failed.outcome))
            raise
        except BaseException:
            # What a broken-off attempt cost nobody will say: what was set aside stays spent.
            self.breaker.leave()
            raise
        self.breaker.succeed()
        read, written = completion.prompt_tokens, completion.completion_tokens
        if not completion.billed:
            read, written = prompt, math.ceil(len(completion.text) / CHARACTERS_PER_TOKEN)
        cost = price.nano_usd(read, completion.cached_tokens, written) if price else 0
        await ledger.settle(permit, cost)
        self._tell(what, WordsAsked(self.name, what, "ok", read, completion.cached_tokens, written, cost / NANO))
        return completion

    async def _learn(self, failed: AttemptFailed) -> None:
        if failed.outcome in ("unauthorised", "forbidden") and self._secrets is not None:
            # Perhaps the key was replaced: it is looked up anew when the breaker lets the next one try.
            self._secrets.refresh(KEY_NAME)
            old, self._provider = self._provider, None
            if old is not None:
                await old.close()
        if failed.rest_s is not None:
            self.breaker.trip(failed.outcome, failed.rest_s)
        elif failed.blames:
            self.breaker.fail(failed.outcome)
        else:
            self.breaker.leave()

    async def _prepared(self) -> tuple[OpenAIProvider, Ledger, TokenCounter]:
        async with self._lock:
            if self._provider is None:
                if time.monotonic() < self._unprepared_until:
                    raise NoText("not_configured")
                self._unprepared_until = time.monotonic() + UNPREPARED_S
                try:
                    await self._prepare()
                except (NoText, DeploymentError) as error:
                    self._problem = error.reason if isinstance(error, NoText) else "not_configured"
                    raise
                self._unprepared_until, self._problem = 0.0, None
            assert self._provider is not None
            assert self._ledger is not None
            assert self._counter is not None
            return self._provider, self._ledger, self._counter

    async def _prepare(self) -> None:
        """Raises ``NoText`` and ``DeploymentError``."""
        settings = self._settings
        self._secrets = self._secrets or secrets_of(SecretSettings())
        self._prices = load_prices(settings.prices)
        if self._price() is None and (settings.daily_usd or settings.monthly_usd):
            raise NoText("no_price")
        key = await asyncio.to_thread(self._secrets.get, KEY_NAME)
        if key is None and settings.url == OPENAI:
            raise NoText("no_key")
        caps = Caps.of(settings.per_minute, settings.per_hour, settings.daily_usd, settings.monthly_usd)
        if self._ledger is None:
            if settings.limiter == "memory":
                self._ledger = MemoryLedger(caps)
            elif self._link is None:
                raise NoText(NO_LIMITER)
            else:
                self._ledger = RedisLedger(self._link, caps)
        self._counter = self._counter or await asyncio.to_thread(load_counter, self.name, settings.tiktoken_dir)
        value = key.get_secret_value() if key else None
        self._provider = await asyncio.to_thread(OpenAIProvider, settings, value, "text")

    def _lacking(self) -> str | None:
        """What is known to stand in the way before anybody has asked."""
        return NO_LIMITER if self._settings.limiter == "redis" and self._link is None else None

    def _price(self) -> Price | None:
        if is_local(self._settings.url):
            return free(self.name)
        return self._prices.of(self.name, datetime.now(UTC).date()) if self._prices else None
