"""Writes one skill's words with a language model, or says why it did not. Never raises, never outlives its deadline.

Outside in: deadline, kept texts, key, breaker, prompt within its tokens, permit (limits and budget, one for each attempt),
the attempt with its own time, the check of the answer, one repair. Between attempts a random part of a growing pause, or
what the provider asks for, if the deadline leaves room for it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from deployments.breaker import Breaker
from deployments.reasoning.answer_check import Unfit, Words, read
from deployments.reasoning.facts import LADDER, Facts, facts_of
from deployments.reasoning.kept import KeptTexts
from deployments.reasoning.ledger import Ledger, Permit
from deployments.reasoning.prices import NANO, Price
from deployments.reasoning.prompt import PROMPT_VERSION, Message, messages, repaired
from deployments.reasoning.provider import AttemptFailed, Completion
from deployments.reasoning.tokens import TokenCounter
from deployments.skills.assessment import Fused, Reasoning
from deployments.wire import WordsAsked

ATTEMPTS = 3
REPAIRS = 1
FAILURES = 6
"""In a row, until nobody is asked for a while: more than the four that one student's skills make at the same moment."""
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 4.0
FAIR_S = 5.0
"""A time-out after less than this, and less than an attempt may take, says nothing of the provider."""
MARGIN_S, LEAST_S = 0.05, 0.2
"""Less time than this is no attempt."""
Tell = Callable[[WordsAsked], None]
_log = logging.getLogger("ray.serve.muster")


class Provider(Protocol):
    """Who is asked."""

    async def ask(self, messages: Sequence[Message], seconds: float) -> Completion:
        """One attempt. Raises ``AttemptFailed``."""


class Declined(Exception):
    """The template writes; ``reason`` is what the answer says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """``attempt_s``: the time of one attempt; ``prompt_tokens``, ``answer_tokens``: the most of each."""

    attempt_s: float
    prompt_tokens: int
    answer_tokens: int


@dataclass(slots=True)
class _Spent:
    """What one assessment's words have cost so far, over all attempts."""

    tokens: int = 0
    nano_usd: int = 0
    guessed: bool = False


class Writer:
    """``price``: None where none is known; the cost is then told as 0 and ``estimated``."""

    def __init__(
        self,
        model: str,
        provider: Provider,
        ledger: Ledger,
        kept: KeptTexts,
        counter: TokenCounter,
        limits: Limits,
        price: Callable[[datetime], Price | None],
        breaker: Breaker | None = None,
        tell: Tell = lambda event: None,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._model, self._provider, self._ledger, self._kept = model, provider, ledger, kept
        self._counter, self._limits, self._price, self._tell, self._jitter = counter, limits, price, tell, jitter
        self.breaker = breaker or Breaker(FAILURES)

    async def write(self, fused: Fused, tenant: str, deadline: float) -> Reasoning | str:
        """The reasoning, or the reason why the template has to do. ``deadline``: monotonic."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                reasoning = await self._write(fused, tenant, deadline)
        except Declined as declined:
            return self._declined(fused, declined.reason)
        except TimeoutError:
            return self._declined(fused, "deadline")
        except Exception as error:  # noqa: BLE001 - words are never worth a failed assessment
            _log.error("writing failed: %s", type(error).__name__)
            return self._declined(fused, "internal_error")
        self._tell(WordsAsked(self._model, fused.skill, writer="kept" if reasoning.cached else "llm"))
        return reasoning

    def _declined(self, fused: Fused, reason: str) -> str:
        self._tell(WordsAsked(self._model, fused.skill, writer=reason))
        return reason

    async def _write(self, fused: Fused, tenant: str, deadline: float) -> Reasoning:
        facts = facts_of(fused)
        if not facts.evidence:
            raise Declined("nothing_observed")
        digest = facts.digest(PROMPT_VERSION, self._model)
        kept = await self._kept.get(tenant, digest)
        if kept is not None:
            return self._reasoning(kept, _Spent(), cached=True)
        asked, spent = self._prompt(facts), _Spent()
        for repair in range(REPAIRS + 1):
            completion = await self._answer(facts, asked, deadline, spent)
            try:
                words = self._read(completion, facts)
            except Unfit as unfit:
                if repair == REPAIRS:
                    # An answer that cannot be used costs as much as one that can: three in a row are enough.
                    self.breaker.fail("its answers cannot be used")
                    raise Declined("unfit_answer") from None
                asked = repaired(asked, completion.text, unfit.problem)
                continue
            self.breaker.succeed()
            await self._kept.put(tenant, digest, words)
            return self._reasoning(words, spent)
        raise AssertionError("the last round raises")

    def _prompt(self, facts: Facts) -> list[Message]:
        """The prompt with as much evidence as fits. Raises ``Declined``."""
        for most in LADDER:
            asked = messages(facts.told(most))
            if self._counter.count(asked) <= self._limits.prompt_tokens:
                return asked
        raise Declined("prompt_too_long")

    @staticmethod
    def _read(completion: Completion, facts: Facts) -> Words:
        if completion.refused:
            raise Declined("provider_refused")
        if completion.cut:
            raise Unfit("it was cut off; be shorter")
        return read(completion.text, facts)

    async def _answer(self, facts: Facts, asked: Sequence[Message], deadline: float, spent: _Spent) -> Completion:
        """The provider's answer, asked for up to three times. Raises ``Declined``."""
        why = "deadline"
        for attempt in range(ATTEMPTS):
            # A little less than what is left, so that a slow provider is known as such before it is over.
            seconds = min(self._limits.attempt_s, deadline - MARGIN_S - time.monotonic())
            if seconds < LEAST_S:
                raise Declined(why)
            try:
                return await self._attempt(facts, asked, seconds, spent)
            except Declined as declined:
                # What went wrong first says more than the breaker that it opened.
                raise Declined(why if attempt and declined.reason == "breaker_open" else declined.reason) from None
            except AttemptFailed as failed:
                why = failed.outcome
                backoff = self._jitter(0.0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2**attempt))
                wait = backoff if failed.after_s is None else failed.after_s
                if not failed.again or attempt + 1 == ATTEMPTS:
                    raise Declined(failed.outcome) from None
                if time.monotonic() + wait + LEAST_S >= deadline:
                    raise Declined(failed.outcome) from None
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt raises")

    async def _attempt(self, facts: Facts, asked: Sequence[Message], seconds: float, spent: _Spent) -> Completion:
        """One attempt with a permit of its own. Raises ``Declined`` without one, and ``AttemptFailed``."""
        if not self.breaker.willing:
            raise Declined("breaker_open")
        price = self._price(datetime.now(UTC))
        prompt = self._counter.count(asked)
        dearest = price.nano_usd(prompt, 0, self._limits.answer_tokens) if price else 0
        permit = await self._ledger.permit(dearest)
        if permit.refusal:
            raise Declined(permit.refusal)
        if not self.breaker.admit():
            await self._ledger.settle(permit, 0)
            raise Declined("breaker_open")
        try:
            completion = await self._provider.ask(asked, seconds)
        except AttemptFailed as failed:
            self._learn(failed, seconds)
            await self._account(facts, permit, failed.outcome, spent, dearest if failed.charged else 0)
            raise
        except BaseException:
            # The deadline or the client ended it; what it cost nobody will say.
            self.breaker.leave()
            self._tell(WordsAsked(self._model, facts.skill, "cancelled"))
            raise
        self.breaker.leave()
        await self._bill(facts, permit, completion, asked, price, spent)
        return completion

    def _learn(self, failed: AttemptFailed, seconds: float) -> None:
        # A client in a hurry must not close the way for the others.
        fair = failed.outcome != "timeout" or seconds >= min(self._limits.attempt_s, FAIR_S)
        if failed.rest_s is not None:
            self.breaker.trip(failed.outcome, failed.rest_s)
        elif failed.blames and fair:
            self.breaker.fail(failed.outcome)
        else:
            self.breaker.leave()

    async def _bill(
        self,
        facts: Facts,
        permit: Permit,
        completion: Completion,
        asked: Sequence[Message],
        price: Price | None,
        spent: _Spent,
    ) -> None:
        """Tokens as the provider told them, counted here where it did not."""
        prompt, written = completion.prompt_tokens, completion.completion_tokens
        if not completion.billed:
            prompt = self._counter.count(asked)
            written = self._counter.count([{"role": "assistant", "content": completion.text}])
        cost = price.nano_usd(prompt, completion.cached_tokens, written) if price else 0
        spent.tokens += prompt + written
        spent.guessed |= price is None or not completion.billed
        event = WordsAsked(self._model, facts.skill, "ok", prompt, completion.cached_tokens, written, cost / NANO)
        await self._account(facts, permit, "ok", spent, cost, event)

    async def _account(
        self,
        facts: Facts,
        permit: Permit,
        outcome: str,
        spent: _Spent,
        cost: int,
        event: WordsAsked | None = None,
    ) -> None:
        spent.nano_usd += cost
        self._tell(event or WordsAsked(self._model, facts.skill, outcome, usd=cost / NANO))
        await self._ledger.settle(permit, cost)

    def _reasoning(self, words: Words, spent: _Spent, *, cached: bool = False) -> Reasoning:
        return Reasoning(
            text=words.text,
            strengths=words.strengths,
            growth_suggestions=words.growth_suggestions,
            source="llm",
            model=self._model,
            tokens=spent.tokens,
            cost_usd=round(spent.nano_usd / NANO, 9),
            cached=cached,
            estimated=spent.guessed,
        )
