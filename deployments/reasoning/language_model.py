"""A replica's language model: its key, provider, limits and prices; set up from the settings, and what it tells of itself."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from deployments.errors import DeploymentError
from deployments.meter import Observer
from deployments.reasoning.kept import KeptTexts
from deployments.reasoning.ledger import Caps, Ledger, MemoryLedger, RedisLedger, Usage
from deployments.reasoning.prices import NANO, Price, Prices, free, load_prices
from deployments.reasoning.provider import AttemptFailed, OpenAIProvider
from deployments.reasoning.tokens import load_counter, safe_limit
from deployments.reasoning.writer import Limits, Writer
from deployments.redis_link import RedisLink
from deployments.secret_chain import Secrets
from deployments.settings import OPENAI, ReasoningSettings, is_local
from deployments.wire import WordsAsked

KEY_NAME = "openai-api-key"
KEY_EVERY_S = 30.0
MOST_UNTOLD = 10_000
logger = logging.getLogger("ray.serve.muster")


class ReasoningRefused(DeploymentError):
    """``MUSTER_REASONING=required`` and the language model cannot be used; the message says why and what to set."""


class LanguageModel:
    """``writer`` is None while the template writes everything; ``problem`` says why, ``checked`` what came of the key."""

    def __init__(self, settings: ReasoningSettings, observe: Observer = lambda event: None) -> None:
        self._settings, self._observe = settings, observe
        self._untold: list[WordsAsked] = []
        self._link: RedisLink | None = None
        self._provider: OpenAIProvider | None = None
        self._ledger: Ledger | None = None
        self._caps = Caps()
        self._secrets: Secrets | None = None
        self._key: str | None = None
        self._key_asked = 0.0
        self._counted_by = ""
        self._url: str | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.writer: Writer | None = None
        self.checked = "not checked"
        self.problem: str | None = None

    async def close(self) -> None:
        """Close the client and the connections."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._provider is not None:
            await self._provider.close()
        if self._link is not None:
            await self._link.close()

    async def describe(self) -> dict[str, Any]:
        """For ``/health/detailed`` and ``/v1/capabilities``; no secret is in it."""
        settings = self._settings
        if settings.mode == "off":
            return {"provider": "template", "mode": "off", "status": "healthy", "reason": None}
        usage = await self._ledger.usage() if self._ledger else None
        breaker = self.writer.breaker if self.writer else None
        reason = self.problem or (None if usage else "the limits cannot be decided: no Redis")
        if breaker and breaker.state != "closed":
            reason = f"the provider is not asked for now: {breaker.reason}"
        return {
            "provider": "template" if self.writer is None else "llm",
            "mode": settings.mode,
            "status": "degraded" if reason else "healthy",
            "reason": reason,
            "model": settings.model,
            "official": settings.url == OPENAI,
            "key": self.checked,
            "format": self._provider.format if self._provider else None,
            "tokens_counted_by": self._counted_by or None,
            "breaker": breaker.state if breaker else None,
            "limits": {"minute_left": usage.minute_left, "hour_left": usage.hour_left} if usage else None,
            "budget": self._budget(usage) if usage else None,
            "secrets": self._secrets.provenance() if self._secrets else {},
        }

    def _budget(self, usage: Usage) -> dict[str, Any]:
        settings = self._settings
        return {
            "day_usd": round(usage.day / NANO, 6),
            "month_usd": round(usage.month / NANO, 6),
            "daily_usd": settings.daily_usd,
            "monthly_usd": settings.monthly_usd,
            "alerts": self._caps.alerts(usage),
        }

    def untold(self) -> tuple[WordsAsked, ...]:
        """What happened since this was last asked; told once."""
        untold, self._untold = tuple(self._untold), []
        return untold

    def _tell(self, event: WordsAsked) -> None:
        self._observe(event)
        if len(self._untold) < MOST_UNTOLD:
            self._untold.append(event)

    async def _prepare(self, redis_url: str | None, secrets: Secrets) -> None:
        """Raises a ``DeploymentError`` that says what is missing."""
        settings = self._settings
        self._caps = Caps.of(settings.per_minute, settings.per_hour, settings.daily_usd, settings.monthly_usd)
        self._url, self._secrets = redis_url, secrets
        self._ledger = self._ledger or self._open_ledger(redis_url)
        prices = load_prices(settings.prices)
        price = partial(_price, settings, prices)
        if price(datetime.now(UTC)) is None and (settings.daily_usd or settings.monthly_usd):
            raise ReasoningRefused(
                f"no price of {settings.model} is known, so that no budget can be kept: give one in MUSTER_REASONING_PRICES."
            )
        counter = await asyncio.to_thread(load_counter, settings.model, settings.tiktoken_dir)
        self._counted_by = "estimate" if counter.estimated else "tiktoken"
        self._key = await self._find_key()
        if self._provider is not None:
            await self._provider.close()
        self._provider = provider = await asyncio.to_thread(OpenAIProvider, settings, self._key)
        await self._check(provider)
        prompt_tokens = min(settings.max_prompt_tokens or safe_limit(settings.model), safe_limit(settings.model))
        self.writer = Writer(
            settings.model,
            provider,
            self._ledger,
            KeptTexts(self._link, settings.cache_ttl_s),
            counter,
            Limits(settings.timeout_s, prompt_tokens, settings.max_tokens),
            price,
            tell=self._tell,
        )

    def _open_ledger(self, redis_url: str | None) -> Ledger:
        if redis_url:
            self._link = RedisLink(redis_url, lambda kind: None)
        if self._settings.limiter == "memory":
            return MemoryLedger(self._caps)
        if self._link is None:
            raise ReasoningRefused(
                "its limits hold over all replicas and need Redis: set MUSTER_REDIS_URL, or MUSTER_REASONING_LIMITER=memory "
                "for a single replica."
            )
        return RedisLedger(self._link, self._caps)

    async def _find_key(self) -> str | None:
        """The key; None where the provider needs none. Raises ``ReasoningRefused`` or ``SecretUnavailable``."""
        assert self._secrets is not None
        self._key_asked = time.monotonic()
        value = await asyncio.to_thread(self._secrets.get, KEY_NAME)
        if value is None and self._settings.url == OPENAI:
            self.checked = "missing"
            raise ReasoningRefused(
                f"there is no API key: set OPENAI_API_KEY, or a secret {KEY_NAME} in MUSTER_SECRETS_DIR."
            )
        return value.get_secret_value() if value else None

    async def _check(self, provider: OpenAIProvider) -> None:
        """Ask the provider for the model. Raises ``ReasoningRefused`` when it refuses the key or does not know the model.

        One that cannot be reached now is no reason not to start: Muster's own chat model starts later than this.
        """
        try:
            await provider.check()
        except AttemptFailed as failed:
            if failed.outcome in ("unauthorised", "forbidden", "unknown_model") and self._settings.url == OPENAI:
                self.checked = "refused"
                what = "does not know the model" if failed.outcome == "unknown_model" else "refuses the key"
                raise ReasoningRefused(f"the provider {what} ({failed.outcome}).") from None
            if failed.outcome in ("unauthorised", "forbidden"):
                self.checked = "refused"
                raise ReasoningRefused(f"the provider refuses the key ({failed.outcome}).") from None
            self.checked = f"not checked: {failed.outcome}"
        else:
            self.checked = "accepted"

    def _renew(self) -> None:
        """A key that was missing, refused or replaced is looked for again, twice a minute at most; nobody waits for it."""
        due = time.monotonic() - self._key_asked >= KEY_EVERY_S
        if due and (self._renewal is None or self._renewal.done()):
            self._key_asked = time.monotonic()
            self._renewal = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        try:
            if self._secrets is None:
                return
            if self._provider is None or self.writer is None:
                await self._prepare(self._url, self._secrets)
                self.problem = None
                return
            refused = self.writer.breaker.reason in ("unauthorised", "forbidden")
            if refused:
                self._secrets.refresh(KEY_NAME)
            key = await self._find_key()
            if key != self._key:
                self._key = key
                await self._provider.use(key)
                self.checked = "replaced"
                if refused:
                    self.writer.breaker.succeed()
        except DeploymentError as error:
            if self.writer is None:
                self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - a task that nobody waits for
            logger.error("Looking for the key again failed: %s.", type(error).__name__)


def _price(settings: ReasoningSettings, prices: Prices, now: datetime) -> Price | None:
    """What the model costs now; nothing on this machine."""
    return free(settings.model) if is_local(settings.url) else prices.of(settings.model, now.date())
