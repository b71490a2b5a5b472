"""The journal flow: entries, features, statistics, one deadline over all, results kept for as long as their kind allows."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request

from deployments.errors import InvalidInput
from deployments.journal.analysis import VERSION, Found, Question
from deployments.journal.entries import Entry, select
from deployments.journal.kept import JournalKept
from deployments.journal.keys import INLINE
from deployments.journal.lexicon import load_lexicon
from deployments.journal.prediction import Wanted
from deployments.journal.store import JournalStore
from serve_app.api.calls import call_model, first_error
from serve_app.api.exchange import exchange_of
from serve_app.api.journal_entries import parse_entries
from serve_app.api.journal_features import Asked as Work
from serve_app.api.journal_features import Features, FeatureSource
from serve_app.api.journal_models import ROLES, Who
from serve_app.api.journal_schemas import MOST_ANALYSED
from serve_app.api.journal_schemas import Question as Asked
from serve_app.api.services import Services
from serve_app.errors import UnknownJournal

APPLICATION = "journal"
MOST_CHARS = 5_000_000
"""Characters of one analysis: one thread counts the words of everybody."""
TTL_S: Mapping[str, int] = {"temporal": 2 * 3600, "personality": 24 * 3600, "predictive": 4 * 3600}


@dataclass(slots=True)
class Analysed:
    """``parts``: by name; ``cached``: those that were kept; ``skipped``: those with too few entries.
    ``missing``: parts and roles that could not be had, and why."""

    entries: Sequence[Entry]
    available: int
    features: Features
    parts: dict[str, Any] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def partial(self) -> list[dict[str, str]]:
        return [{"part": part, "reason": reason} for part, reason in {**self.features.missing, **self.missing}.items()]

    @property
    def metadata(self) -> dict[str, Any]:
        """Who answered, what was asked now, what was kept."""
        models = {
            role: {"model": who.model, "revision": who.revision, "fallback": who.fallback}
            for role, who in self.features.who.items()
        }
        return {
            "models": models,
            "computed": {role: self.features.asked.get(role, 0) for role in self.features.who},
            "cached": self.cached,
            "entries_available": self.available,
        }


class JournalFlow:
    """Runs analyses over stored or given entries."""

    def __init__(self, services: Services, store: JournalStore, kept: JournalKept) -> None:
        self._services, self._store, self._kept = services, store, kept
        self._features = FeatureSource(services, kept)

    async def analyse(
        self,
        request: Request,
        asked: Asked,
        parts: Sequence[str],
        fewest: int,
        options: Mapping[str, Any],
        fewest_for_more: int = 0,
    ) -> Analysed:
        """The parts that were asked for; with fewer entries than ``fewest_for_more`` only the first of them.

        Raises ``InvalidInput`` for fewer than ``fewest`` entries or too many characters, ``UnknownJournal`` where none
        are stored.
        """
        entries, available, owner, epoch = await self._entries(request, asked)
        _check_amount(entries, fewest, "user_id" if asked.entries is None else "entries")
        work = await self._features.open(request, entries, owner, epoch)
        who = await self._features.identify(work)
        done = Analysed(entries, available, Features(who=dict(who)))
        if len(entries) < fewest_for_more:
            reason = f"needs {fewest_for_more} entries; there are {len(entries)}"
            done.skipped = dict.fromkeys(parts[1:], reason)
            parts = parts[:1]
        told = [asked.timeframe, sorted(options.items())]
        if len(who) == len(ROLES):
            await self._take_kept(work, done, await self._fields(work, parts, told, who))
        wanted = [part for part in parts if part not in done.parts]
        if wanted:
            done.features = await self._features.gather(work, who)
            await self._compute(request, asked, done, wanted, options)
            await self._keep(work, done, await self._fields(work, wanted, told, done.features.who))
        return done

    async def _entries(self, request: Request, asked: Asked) -> tuple[list[Entry], int, str, bytes]:
        """The entries to look at, how many there are, and under whom what is computed is kept."""
        if asked.entries is not None:
            given = parse_entries(asked.entries, self._services.settings.max_text_chars)
            return select(given, asked.timeframe, asked.max_entries), len(given), INLINE, b""
        assert asked.user_id is not None
        held = await self._store.newest(exchange_of(request).context(1), asked.user_id, MOST_ANALYSED)
        if not held.total:
            raise UnknownJournal()
        return select(held.entries, asked.timeframe, asked.max_entries), held.total, asked.user_id, held.epoch

    async def _compute(
        self, request: Request, asked: Asked, done: Analysed, parts: Sequence[str], options: Mapping[str, Any]
    ) -> None:
        wanted = Wanted(
            options.get("prediction_horizon", 7),
            options.get("include_risk_assessment", True),
            options.get("include_opportunities", True),
        )
        question = Question(
            done.features.journal(done.entries),
            [*parts],
            asked.timeframe,
            options.get("include_detailed_traits", True),
            wanted,
        )
        answer = await call_model(self._services, request, APPLICATION, [question], {})
        if error := first_error(answer, None):
            raise error
        found: Found = answer.values[0]
        done.parts |= found.parts
        done.missing |= found.failed

    # -- what is kept ----------------------------------------------------------------------------------------------

    async def _fields(
        self, work: Work, parts: Sequence[str], told: Sequence[Any], who: Mapping[str, Who]
    ) -> dict[str, str]:
        """By part: its name and an HMAC of all that it is computed from, the same in every process, nothing of a text."""
        salt = await self._features.salt(work.tenant)
        rows = [
            [entry.id, entry.created_at.isoformat(), entry.mood, digest.hex()]
            for entry, digest in zip(work.entries, work.digests, strict=True)
        ]
        models = [[role, who[role].identity.decode() if role in who else None] for role in ROLES]
        given = orjson.dumps([VERSION, load_lexicon().version, *told, models, rows])
        return {part: f"{part}:{hmac.digest(salt, part.encode() + given, 'sha256').hex()}" for part in parts}

    async def _take_kept(self, work: Work, done: Analysed, fields: Mapping[str, str]) -> None:
        if work.keeps:
            held = await self._kept.results(work.tenant, work.owner, [*fields.values()], work.left_s)
            done.parts |= {part: held[name] for part, name in fields.items() if name in held}
            done.cached = [*done.parts]

    async def _keep(self, work: Work, done: Analysed, fields: Mapping[str, str]) -> None:
        """Only what was computed with all models: what lacks one is tried again the next time."""
        if work.keeps and not done.features.missing:
            values = {name: (done.parts[part], TTL_S[part]) for part, name in fields.items() if part in done.parts}
            within_s = exchange_of(work.request).context(1).remaining()
            await self._kept.keep_results(work.tenant, work.owner, work.epoch, values, within_s)


def _check_amount(entries: Sequence[Entry], fewest: int, param: str) -> None:
    if len(entries) < fewest:
        there = f"there are {len(entries)} in the timeframe"
        raise InvalidInput(f"This needs at least {fewest} entries; {there}.", param)
    if (chars := sum(len(entry.text) for entry in entries)) > MOST_CHARS:
        raise InvalidInput(
            f"The entries have {chars} characters together; an analysis takes {MOST_CHARS} at most. Ask for a shorter "
            "timeframe, or for fewer entries (max_entries).",
            param,
        )
