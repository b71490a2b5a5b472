"""The language model of a replica: whom it asks and when, what it tells of itself, and what it does to finished answers.

Only small, interactive calls are reworded: the hard limit of fifty attempts a minute is twelve students a minute, so that
a batch would use it up and gain little. Batches have the template's words and say so.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from deployments.breaker import Breaker
from deployments.call import INTERACTIVE_MAX_ITEMS
from deployments.errors import DeploymentError
from deployments.meter import Observer
from deployments.reasoning.kept import KeptTexts
from deployments.reasoning.ledger import Caps, Ledger, MemoryLedger, RedisLedger
from deployments.reasoning.prices import NANO, Price, Prices, free, load_prices
from deployments.reasoning.provider import AttemptFailed, OpenAIProvider
from deployments.reasoning.tokens import load_counter, safe_limit
from deployments.reasoning.writer import Limits, Writer
from deployments.redis_link import RedisLink
from deployments.secret_chain import Secrets, secrets_of
from deployments.settings import OPENAI, ReasoningSettings, SecretSettings, is_local, load_settings
from deployments.skills.assessment import Fused, Reasoning, reasoning_json
from deployments.telemetry import replica_observer
from deployments.wire import Call, Piece, Reply, WordsAsked

KEY_NAME = "openai-api-key"
RESERVE_SHARE, RESERVE_S = 0.1, 0.5
"""Of the time that is left: kept for the way back, so that a slow model never costs the assessment."""
KEY_EVERY_S = 30.0
MOST_UNTOLD = 10_000
logger = logging.getLogger("ray.serve.muster")


class ReasoningRefused(DeploymentError):
    """``MUSTER_REASONING=required`` and the language model cannot be used; the message says why and what to set."""


class LanguageStage:
    """One replica's language model; ``writer`` is None while the template writes everything."""

    def __init__(self, settings: ReasoningSettings, observe: Observer = lambda event: None) -> None:
        self._settings, self._observe = settings, observe
        self._untold: list[WordsAsked] = []
        self._gate = asyncio.Semaphore(settings.concurrency)
        self._link: RedisLink | None = None
        self._provider: OpenAIProvider | None = None
        self._ledger: Ledger | None = None
        self._caps = Caps()
        self._secrets: Secrets | None = None
        self._key: str | None = None
        self._key_asked = 0.0
        self._alerted: set[str] = set()
        self._counted_by = ""
        self._url: str | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._jobs: dict[str, set[asyncio.Task[None]]] = {}
        self.writer: Writer | None = None
        self.checked = "not checked"
        self.problem: str | None = None

    @classmethod
    async def open(
        cls,
        settings: ReasoningSettings | None = None,
        redis_url: str | None = None,
        secrets: Secrets | None = None,
        observe: Observer | None = None,
    ) -> "LanguageStage":
        """What the environment configures. Raises ``ReasoningRefused`` where a language model is required."""
        settings = settings or ReasoningSettings()
        if settings.mode == "off":
            return cls(settings)
        stage = cls(settings, observe or replica_observer("skills"))
        held = load_settings().redis_url
        url = redis_url or (held.get_secret_value() if held else None)
        try:
            await stage._prepare(url, secrets)
        except DeploymentError as error:
            if settings.mode == "required":
                await stage.close()
                raise ReasoningRefused(f"MUSTER_REASONING=required, but {error}") from None
            stage.problem = str(error)
            logger.warning("The template writes: %s", error)
        return stage

    async def close(self) -> None:
        """Close the client and the connections."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._provider is not None:
            await self._provider.close()
        if self._link is not None:
            await self._link.close()

    async def reword(self, call: Call, reply: Reply, told: Reply, started: float) -> None:
        """Put a language model's words into finished skill objects, or why the template's stay. Never raises."""
        if self.writer is None and self._settings.mode == "off":
            return
        jobs: list[asyncio.Task[None]] = []
        for piece, fused, finished in zip(call.pieces, reply.pieces, told.pieces, strict=True):
            why = self._why_not(call, piece)
            deadline = started + piece.remaining_s - max(RESERVE_S, RESERVE_SHARE * piece.remaining_s)
            for skills, objects in zip(fused.values, finished.values, strict=True):
                for skill, each in (skills or {}).items():
                    if objects is not None:
                        jobs.append(self._start(piece, self._reword(each, objects[skill], piece.owner, deadline, why)))
        await asyncio.gather(*jobs, return_exceptions=True)

    def cancel(self, request_ids: Sequence[str]) -> None:
        """Stop writing for requests that nobody waits for; the template's words stay."""
        for request_id in request_ids:
            for job in self._jobs.get(request_id, ()):
                job.cancel()

    def untold(self) -> tuple[WordsAsked, ...]:
        """What happened since this was last asked; told once."""
        untold, self._untold = tuple(self._untold), []
        return untold

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

    def _budget(self, usage: Any) -> dict[str, Any]:
        settings = self._settings
        return {
            "day_usd": round(usage.day / NANO, 6),
            "month_usd": round(usage.month / NANO, 6),
            "daily_usd": settings.daily_usd,
            "monthly_usd": settings.monthly_usd,
            "alerts": self._caps.alerts(usage),
        }

    def _start(self, piece: Piece, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        job = asyncio.create_task(work)
        jobs = self._jobs.setdefault(piece.request_id, set())
        jobs.add(job)

        def forget(done: asyncio.Task[None]) -> None:
            jobs.discard(done)
            if not jobs and self._jobs.get(piece.request_id) is jobs:
                del self._jobs[piece.request_id]

        job.add_done_callback(forget)
        return job

    # -- one text ------------------------------------------------------------------------------------------------------

    async def _reword(self, fused: Fused, body: dict[str, Any], tenant: str, deadline: float, why: str | None) -> None:
        outcome = why or await self._words(fused, tenant, deadline)
        if isinstance(outcome, Reasoning):
            body["reasoning"] = reasoning_json(outcome)
        else:
            body["reasoning"]["reason"] = outcome

    async def _words(self, fused: Fused, tenant: str, deadline: float) -> Reasoning | str:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                self._renew()
                if self.writer is None:
                    return "not_configured"
                async with self._gate:
                    words = await self.writer.write(fused, tenant, deadline)
        except TimeoutError:
            self._tell(WordsAsked(self._settings.model, fused.skill, writer="deadline"))
            return "deadline"
        except Exception as error:  # noqa: BLE001 - an assessment does not fail for its words
            logger.error("The language model could not be asked: %s.", type(error).__name__)
            return "internal_error"
        await self._watch_budget(words)
        return words

    def _why_not(self, call: Call, piece: Piece) -> str | None:
        if call.lane != "interactive" or len(piece.inputs) > INTERACTIVE_MAX_ITEMS:
            return "batch"
        return None

    async def _watch_budget(self, words: Reasoning | str) -> None:
        """One warning a day and budget when 80 % of it are spent."""
        if self._ledger is None or isinstance(words, str) or not (self._caps.daily or self._caps.monthly):
            return
        usage = await self._ledger.usage()
        for name in self._caps.alerts(usage) if usage else ():
            mark = f"{name} {datetime.now(UTC):%Y-%m-%d}"
            if mark not in self._alerted:
                self._alerted = {mark, *list(self._alerted)[-8:]}
                logger.warning("The %s budget for reasoning is spent to 80 %% or more.", name)

    def _tell(self, event: WordsAsked) -> None:
        self._observe(event)
        if len(self._untold) < MOST_UNTOLD:
            self._untold.append(event)

    # -- setting up ----------------------------------------------------------------------------------------------------

    async def _prepare(self, redis_url: str | None, secrets: Secrets | None) -> None:
        """Raises a ``DeploymentError`` that says what is missing."""
        settings = self._settings
        self._caps = Caps.of(settings.per_minute, settings.per_hour, settings.daily_usd, settings.monthly_usd)
        self._url = redis_url
        self._ledger = self._ledger or self._open_ledger(redis_url)
        prices = load_prices(settings.prices)
        price = partial(_price, settings, prices)
        if price(datetime.now(UTC)) is None and (settings.daily_usd or settings.monthly_usd):
            raise ReasoningRefused(
                f"no price of {settings.model} is known, so that no budget can be kept: give one in MUSTER_REASONING_PRICES."
            )
        counter = await asyncio.to_thread(load_counter, settings.model, settings.tiktoken_dir)
        self._counted_by = "estimate" if counter.estimated else "tiktoken"
        self._secrets = secrets or secrets_of(SecretSettings())
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
            Breaker(),
            self._tell,
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
            if self._provider is None or self.writer is None:
                await self._prepare(self._url, self._secrets)
                self.problem = None
                return
            refused = self.writer.breaker.reason in ("unauthorised", "forbidden")
            if refused and self._secrets is not None:
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
