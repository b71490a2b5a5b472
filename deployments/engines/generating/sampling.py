"""How the next token is chosen: the model's own rules, penalties, temperature, nucleus; one sampler a generation."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from deployments.generation import GenerationRequest

FIRST_LOOK = 1024
"""Tokens that are looked at before the whole vocabulary is sorted for ``top_p``; it is nearly always enough."""


class Rules:
    """What a model's ``generation_config.json`` asks of every generation, as ``model.generate`` applies it."""

    def __init__(self, config: Any) -> None:
        """``config``: transformers' ``GenerationConfig``."""
        ends = config.eos_token_id
        self.ends: tuple[int, ...] = () if ends is None else tuple(ends) if isinstance(ends, list) else (int(ends),)
        self.min_length = int(config.min_length or 0)
        self.min_new_tokens = int(config.min_new_tokens or 0)
        self.forces_end = config.forced_eos_token_id is not None
        self._config = config

    def processors(self, most: int, prefix: int) -> list[Any]:
        """transformers' own processors for a generation of ``most`` tokens behind ``prefix`` decoder tokens."""
        from transformers import generation

        config, found = self._config, list[Any]()
        if config.repetition_penalty not in (None, 1.0):
            found.append(generation.RepetitionPenaltyLogitsProcessor(float(config.repetition_penalty)))
        if config.no_repeat_ngram_size:
            found.append(generation.NoRepeatNGramLogitsProcessor(int(config.no_repeat_ngram_size)))
        if config.bad_words_ids:
            found.append(generation.NoBadWordsLogitsProcessor(config.bad_words_ids, config.eos_token_id))
        if config.forced_bos_token_id is not None:
            found.append(generation.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id))
        if config.forced_eos_token_id is not None:
            found.append(generation.ForcedEOSTokenLogitsProcessor(prefix + most, config.forced_eos_token_id, "cpu"))
        if config.suppress_tokens:
            found.append(generation.SuppressTokensLogitsProcessor(config.suppress_tokens, "cpu"))
        return found


class Sampler:
    """Chooses one generation's tokens. Its random numbers are its own: what else is in the batch changes nothing but
    the rounding of the logits."""

    def __init__(self, request: GenerationRequest, rules: Rules, prefix: Sequence[int], most: int) -> None:
        """``prefix``: the decoder's tokens before the first new one; ``most``: tokens that may be generated."""
        import torch

        self._request, self._rules, self._prefix = request, rules, list(prefix)
        self._least = max(request.min_tokens, rules.min_new_tokens, rules.min_length - len(prefix))
        self._processors = rules.processors(most, len(prefix))
        self._counts: Counter[int] = Counter()
        self._penal = bool(request.frequency_penalty or request.presence_penalty)
        self._random = torch.Generator()
        self._random.manual_seed(request.seed) if request.seed is not None else self._random.seed()

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is simply taken, so that a whole batch can be looked at together."""
        return self._request.temperature == 0 and not self._processors and not self._penal and not self._least

    def choose(self, scores: Any, out: Sequence[int]) -> int:
        """The next token. ``scores``: (vocabulary,) logits, float32, on the CPU; they are written over."""
        import torch

        if self._penal and self._counts:
            seen = torch.tensor(list(self._counts))
            times = torch.tensor(list(self._counts.values()), dtype=scores.dtype)
            scores[seen] -= self._request.presence_penalty + self._request.frequency_penalty * times
        if len(out) < self._least and self._rules.ends:
            scores[list(self._rules.ends)] = -torch.inf
        if self._processors:
            ids = torch.tensor([[*self._prefix, *out]])
            for processor in self._processors:
                scores = processor(ids, scores[None])[0]
        token = int(scores.argmax()) if self._request.temperature == 0 else self._draw(scores)
        self._counts[token] += 1
        return token

    def _draw(self, scores: Any) -> int:
        """By one random number, over the tokens in the vocabulary's order: nearly equal ones may change places in a
        sorted order when the batch changes."""
        import torch

        chances = torch.softmax(scores.double() / self._request.temperature, 0)
        if self._request.top_p < 1:
            chances = chances.where(chances >= _threshold(chances, self._request.top_p), 0)
        sums = chances.cumsum(0)
        point = torch.rand((), generator=self._random, dtype=torch.float64) * sums[-1]
        # The last token with a chance, where rounding puts the point behind it.
        return min(int(torch.searchsorted(sums, point, right=True)), int(chances.nonzero()[-1]))


def _threshold(chances: Any, top_p: float) -> float:
    """The chance of the last token of the smallest set whose chances make ``top_p``."""
    likeliest = chances.topk(min(FIRST_LOOK, len(chances))).values
    if float(likeliest.sum()) < top_p:
        likeliest = chances.sort(descending=True).values
    before = likeliest.cumsum(0) - likeliest
    return float(likeliest[before < top_p][-1])
