"""What a language model does to finished answers, and when it is asked at all.

Only small, interactive calls are reworded: the hard limit of fifty attempts a minute is twelve students a minute, so that
a batch would use it up and gain little. Batches have the template's words and say so.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

from deployments.call import INTERACTIVE_MAX_ITEMS
from deployments.errors import DeploymentError
from deployments.meter import Observer
from deployments.reasoning.language_model import LanguageModel, ReasoningRefused
from deployments.secret_chain import Secrets, secrets_of
from deployments.settings import ReasoningSettings, SecretSettings, load_settings
from deployments.skills.assessment import Fused, Reasoning, reasoning_json
from deployments.telemetry import replica_observer
from deployments.wire import Call, Piece, Reply, WordsAsked

RESERVE_SHARE, RESERVE_S = 0.1, 0.5
"""Of the time that is left: kept for the way back, so that a slow model never costs the assessment."""
WARNING_S = 0.1
logger = logging.getLogger("ray.serve.muster")


class LanguageStage(LanguageModel):
    """One replica's language model at work."""

    def __init__(self, settings: ReasoningSettings, observe: Observer = lambda event: None) -> None:
        super().__init__(settings, observe)
        self._gate = asyncio.Semaphore(settings.concurrency)
        self._jobs: dict[str, set[asyncio.Task[None]]] = {}
        self._alerted: set[str] = set()

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
        try:
            chain = secrets or secrets_of(SecretSettings())
            if redis_url is None:
                found = await asyncio.to_thread(chain.get, "redis-url", load_settings().redis_url)
                redis_url = found.get_secret_value() if found else None
            await stage._prepare(redis_url, chain)
        except DeploymentError as error:
            if settings.mode == "required":
                await stage.close()
                raise ReasoningRefused(f"MUSTER_REASONING=required, but {error}") from None
            stage.problem = str(error)
            logger.warning("The template writes: %s", error)
        return stage

    async def reword(self, call: Call, reply: Reply, told: Reply, started: float) -> None:
        """Put a language model's words into finished skill objects, or why the template's stay. Never raises."""
        if self.writer is None and self._settings.mode == "off":
            return
        jobs: list[asyncio.Task[None]] = []
        for piece, fused, finished in zip(call.pieces, reply.pieces, told.pieces, strict=True):
            why = self._why_not(call, piece)
            deadline = started + piece.remaining_s - max(RESERVE_S, RESERVE_SHARE * piece.remaining_s)
            for skills, objects in zip(fused.values, finished.values, strict=True):
                for skill, body in (objects or {}).items():
                    if why:
                        body["reasoning"]["reason"] = why
                    else:
                        jobs.append(self._start(piece, self._reword(skills[skill], body, piece.owner, deadline)))
        await asyncio.gather(*jobs, return_exceptions=True)

    def cancel(self, request_ids: Sequence[str]) -> None:
        """Stop writing for requests that nobody waits for; the template's words stay."""
        for request_id in request_ids:
            for job in self._jobs.get(request_id, ()):
                job.cancel()

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

    async def _reword(self, fused: Fused, body: dict[str, Any], tenant: str, deadline: float) -> None:
        outcome = await self._words(fused, tenant, deadline)
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
        # The words are there: a warning is not worth the time that is kept for their way back.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WARNING_S):
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
