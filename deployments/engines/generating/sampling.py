"""How the next token is chosen: the model's own rules, penalties, temperature, nucleus; one sampler a generation."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from deployments.generation import GenerationRequest

Wish = tuple[float, float, float]
"""Temperature, ``top_p``, and a random number from 0 to 1."""
DRAWN_TOGETHER = 32
"""Rows of double precision over the vocabulary, several times: what a device has room for beside the cache."""
TINY = 1e-9
"""Of ``top_p`` 0 the likeliest token is left."""
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
        """Whether the logits are taken as they are: the likeliest token, or a ``draw`` that a whole batch makes together."""
        return not self._processors and not self._penal and not self._least

    @property
    def wish(self) -> Wish | None:
        """The next draw; None for the likeliest token. Takes a random number, so ask once a token."""
        if self._request.temperature == 0:
            return None
        import torch

        point = float(torch.rand((), generator=self._random, dtype=torch.float64))
        return self._request.temperature, self._request.top_p, point

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
        wish = self.wish
        token = int(scores.argmax()) if wish is None else draw(scores[None], [wish])[0]
        self._counts[token] += 1
        return token


def draw(scores: Any, wishes: Sequence[Wish]) -> list[int]:
    """A token for each row of (rows, vocabulary) logits, computed where these are, some rows at a time.

    By one random number, over the tokens in the vocabulary's order: nearly equal ones may change places in a sorted order
    when the batch changes.
    """
    return [
        token
        for start in range(0, len(wishes), DRAWN_TOGETHER)
        for token in _draw(scores[start : start + DRAWN_TOGETHER], wishes[start : start + DRAWN_TOGETHER])
    ]


def _draw(scores: Any, wishes: Sequence[Wish]) -> list[int]:
    import torch

    temperatures, nuclei, points = torch.tensor(wishes, dtype=torch.float64).T.to(scores.device)[:, :, None]
    chances = torch.softmax(scores.double() / temperatures, 1)
    if any(top_p < 1 for _, top_p, _ in wishes):
        chances = chances.where((nuclei >= 1) | (chances >= _thresholds(chances, nuclei)), 0)
    sums = chances.cumsum(1)
    tokens = torch.searchsorted(sums, points * sums[:, -1:], right=True)
    # The last token with a chance, where rounding puts the point behind it.
    places = torch.arange(chances.shape[1], device=scores.device)
    last = places.where(chances > 0, 0).amax(1, keepdim=True)
    return [int(token) for token in tokens.minimum(last)[:, 0].tolist()]


def _thresholds(chances: Any, nuclei: Any) -> Any:
    """(rows, 1): the chance of the last token of the smallest set whose chances make ``top_p``."""
    import torch

    wanted = nuclei.where(nuclei < 1, 0)
    likeliest = chances.topk(min(FIRST_LOOK, chances.shape[1])).values
    if bool((likeliest.sum(1, keepdim=True) < wanted).any()):
        likeliest = chances.sort(dim=1, descending=True).values
    before = likeliest.cumsum(1) - likeliest
    return likeliest.where(before < wanted.clamp(min=TINY), torch.inf).amin(1, keepdim=True)
