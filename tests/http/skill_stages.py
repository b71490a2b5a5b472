"""The skill graph's two upper stages over a model that a test controls, without Ray."""

from pydantic import SecretStr

from deployments.reasoning.stage import LanguageStage
from deployments.secret_chain import Found, Secrets
from deployments.settings import ReasoningSettings
from deployments.skills.assessment import Prediction
from deployments.skills.features import FEATURES, SKILLS, FeatureSet
from deployments.skills.stages import Fusion, Reasoning
from deployments.wire import Call, Piece, PieceReply, Reply


def row_of(**values):
    return FeatureSet(tuple(values.get(feature.name) for feature in FEATURES))


TYPICAL = row_of(
    empathy_markers=0.18, social_processes=0.1, positive_sentiment=0.4, problem_solving_language=0.12,
    perseverance_indicators=0.05, negative_sentiment=-0.1, word_count=180, avg_sentence_length=11,
    task_completion_rate=0.7, time_efficiency=1.1, retry_count=3, recovery_rate=0.6, distraction_resistance=0.8,
    focus_duration=1500, collaboration_indicators=4, event_count=120,
)  # fmt: skip


def predicted(skill, estimate=0.6, half_width=0.1):
    return Prediction(skill, estimate, estimate, estimate, (0.0,) * 26, half_width, 0.9, "v1", synthetic=True)


class Handle:
    """What a stage knows of the stage below."""

    def __init__(self, answer) -> None:
        self.remote, self.told = answer, []

    def options(self, **options):
        return self

    def broadcast(self, method, ids):
        self.told.append((method, ids))
        return self

    async def results_async(self, timeout_s):
        return []


class Models:
    """Stands for the inference stage. ``error``: raised instead; ``errors``: of rows by index."""

    def __init__(self) -> None:
        self.error, self.errors, self.calls, self.wait = None, {}, [], None

    async def answer(self, call):
        self.calls.append(call)
        if self.wait is not None:
            await self.wait.wait()
        if self.error is not None:
            raise self.error
        return Reply([self._piece(piece) for piece in call.pieces], "r" * 8, 100.0, 0.0)

    def _piece(self, piece):
        skills = piece.options.get("skills", SKILLS)
        values = [
            None if i in self.errors else {s: predicted(s, 0.5 + 0.03 * len(s) % 0.4) for s in skills}
            for i in range(len(piece.inputs))
        ]
        return PieceReply(values, [1] * len(values), dict(self.errors))


class Graph:
    """``answer`` asks fusion and reasoning over ``models``."""

    def __init__(self, models, fusion, reasoning) -> None:
        self.models, self.fusion, self.reasoning = models, fusion, reasoning

    @classmethod
    async def open(cls, language=None, models=None, breaker=None):
        models = models or Models()
        fusion = Fusion(Handle(models.answer), breaker)
        reasoning = Reasoning.__new__(Reasoning)
        await reasoning.__init__(Handle(fusion.answer), language or LanguageStage(ReasoningSettings(mode="off")))
        return cls(models, fusion, reasoning)

    async def reply(self, rows, lane="interactive", remaining_s=30.0, owner="north", **options):
        return await self.reasoning.answer(Call(lane, [Piece("r1", rows, options, remaining_s, owner=owner)]))

    async def answer(self, rows, **options):
        """Skill objects by row; None with the error for a row that failed."""
        (piece,) = (await self.reply(rows, **options)).pieces
        return [piece.errors.get(i, value) for i, value in enumerate(piece.values)]


class Given:
    """A source of secrets with what a test puts into it."""

    def __init__(self, **held) -> None:
        self.held, self.asked = held, 0

    def get(self, name):
        self.asked += 1
        value = self.held.get(name.replace("-", "_"))
        return Found(SecretStr(value), "test") if value else None


async def language(url, redis_url=None, key="sk-not-a-real-key", mode="optional", source=None, **settings):
    """A language stage against a fake provider."""
    told = []
    base = {"timeout_s": 0.8, "limiter": "redis" if redis_url else "memory", "cache_ttl_s": 0}
    stage = await LanguageStage.open(
        ReasoningSettings(mode=mode, url=url, **{**base, **settings}),
        redis_url,
        Secrets([source or Given(openai_api_key=key)]),
        told.append,
    )
    stage.events = told
    return stage
