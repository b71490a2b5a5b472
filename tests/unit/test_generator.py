"""Generation equals ``model.generate``, whoever joins and leaves the batch meanwhile."""

from dataclasses import replace

import pytest

from deployments.engines.generating.text import TextStream
from deployments.errors import ContextLengthExceeded, EngineFault, InvalidInput
from deployments.generation import GenerationRequest, Turn
from tests.unit.tiny_generators import KEYS, TEXTS, engine, expected, reference


def greedy(prompt, tokens=24, **more) -> GenerationRequest:
    return GenerationRequest(prompt, max_tokens=tokens, temperature=0, **more)


def run(generator, *generations):
    """Step until these are over."""
    for _ in range(10_000):
        if all(generation.over for generation in generations):
            return
        generator.step()
    raise AssertionError("the generations never end")


def start(generator, request):
    generation = generator.read(request)
    generator.batch.add(generation)
    return generation


def text_of(generation):
    return generation.take("").text


@pytest.mark.parametrize("key", KEYS)
def test_greedy_answers_equal_the_reference_alone_and_together(key):
    generator = engine(key)
    generator.warm()
    wanted = [expected(key, text, 24) for text in TEXTS]
    for text, answer in zip(TEXTS, wanted, strict=True):
        generation = start(generator, greedy(text))
        run(generator, generation)
        assert generation.out == answer
    generations = [start(generator, greedy(text)) for text in TEXTS]
    run(generator, *generations)
    assert [generation.out for generation in generations] == wanted
    assert len(generator.batch) == 0


@pytest.mark.parametrize("key", KEYS)
def test_who_joins_and_leaves_in_the_middle_changes_nobodys_answer(key):
    """One comes after the other, with lengths from 2 to 40; every prompt is long, so it is computed in pieces."""
    generator = engine(key)
    generator.batch._bounds = type(generator.batch._bounds)(rows=3, portion=7, tokens=1 << 20)
    asked = [(text, 2 + 9 * number % 40) for number, text in enumerate(TEXTS * 2)]
    generations = []
    for text, tokens in asked:
        generations.append(start(generator, greedy(text, tokens)))
        for _ in range(3):
            generator.step()
    run(generator, *generations)
    assert [generation.out for generation in generations] == [expected(key, *each) for each in asked]


@pytest.mark.parametrize("key", ["dialogpt-small", "bart-large-cnn"])
def test_who_is_put_back_for_want_of_room_goes_on_where_it_was(key):
    generator = engine(key)
    generator.batch._bounds = type(generator.batch._bounds)(rows=8, portion=256, tokens=200)
    put_back = []
    keep = generator.batch._put_back
    generator.batch._put_back = lambda: (put_back.append(1), keep())
    generations = [start(generator, greedy(text, 40)) for text in TEXTS]
    run(generator, *generations)
    assert put_back
    assert [generation.out for generation in generations] == [expected(key, text, 40) for text in TEXTS]


@pytest.mark.parametrize("key", ["dialogpt-small", "flan-t5-large"])
def test_the_pieces_of_text_are_the_tokens_decoded(key):
    generator = engine(key)
    _, tokenizer = reference(key)
    generation, pieces = start(generator, greedy(TEXTS[0], 60)), []
    while not generation.over:
        generator.step()
        pieces.append(text_of(generation))
    whole = tokenizer.decode(expected(key, TEXTS[0], 60), skip_special_tokens=True)
    assert "".join(pieces) == whole.rstrip("\N{REPLACEMENT CHARACTER}")


def test_the_models_own_rules_are_kept():
    key = "bart-large-cnn"
    generator, (_model, _) = engine(key), reference(key)
    rules = {"no_repeat_ngram_size": 2, "min_length": 12, "forced_bos_token_id": 0, "repetition_penalty": 1.3}
    generator._model.generation_config.update(**rules)
    generator._rules.__init__(generator._model.generation_config)
    generations = [start(generator, greedy(text)) for text in TEXTS]
    run(generator, *generations)
    assert [generation.out for generation in generations] == [expected(key, text, 24, **rules) for text in TEXTS]


def test_an_answer_that_is_cut_off_says_so_and_one_that_ends_too():
    key = "dialogpt-small"
    generator, (_, tokenizer) = engine(key), reference(key)
    generation = start(generator, greedy(TEXTS[0], 5))
    run(generator, generation)
    delta = generation.take("r1")
    assert (delta.finish, delta.completion_tokens, delta.prompt_tokens) == ("length", 5, len(generation.source))
    assert delta.revision == "r1"
    end = expected(key, TEXTS[0], 5)[3]
    generator._rules.ends = (end,)
    generation = start(generator, greedy(TEXTS[0], 50))
    run(generator, generation)
    delta = generation.take("")
    first = expected(key, TEXTS[0], 5).index(end)
    assert (delta.finish, delta.completion_tokens) == ("stop", first + 1)
    assert delta.text == tokenizer.decode(expected(key, TEXTS[0], 5)[:first]).rstrip("\N{REPLACEMENT CHARACTER}")


def test_min_tokens_keeps_the_end_away():
    generator = engine("dialogpt-small")
    end = expected("dialogpt-small", TEXTS[0], 5)[0]
    generator._rules.ends = (end,)
    generation = start(generator, greedy(TEXTS[0], 20, min_tokens=7))
    run(generator, generation)
    assert len(generation.out) >= 7
    assert end not in generation.out[:7]


@pytest.mark.parametrize("piece", [slice(3, 6), slice(1, 2), slice(8, 14), slice(20, 45)])
def test_a_stop_string_ends_the_text_before_it_wherever_the_tokens_break(piece):
    generator = engine("mistral-7b-instruct")
    request = GenerationRequest(TEXTS[2], max_tokens=60, min_tokens=60, seed=3)
    whole = start(generator, request)
    run(generator, whole)
    text = text_of(whole)
    stop = text[piece]
    generation, pieces = start(generator, replace(request, stop=("\x00never", stop))), []
    while not generation.over:
        generator.step()
        pieces.append(generation.take(""))
    assert "".join(delta.text for delta in pieces) == text[: text.index(stop)]
    assert pieces[-1].finish == "stop"


@pytest.mark.parametrize("stops", [(), ("never",), ("ö\n",), ("🙂🙂",), ("zzzz", "the e"), ("an end",)])
def test_pieces_are_whole_characters_and_never_the_beginning_of_a_stop(stops):
    backend = reference("dialogpt-small")[1].backend_tokenizer
    text = "Süße Grüße, the 🙂🙃 of 漢字 an e\u0301 the end ö\n🙂🙂 an end of the day ❤️‍🔥 " * 3
    stream, pieces = TextStream(backend, stops), []
    for token in backend.encode(text).ids:
        pieces.append(stream.push(token))
        assert "\N{REPLACEMENT CHARACTER}" not in pieces[-1]
        assert not any("".join(pieces).endswith(stop[0]) for stop in stops if len(stop) > 1)
        if stream.stopped:
            break
    pieces.append(stream.finish())
    places = [text.index(stop) for stop in stops if stop in text]
    assert "".join(pieces) == text[: min(places)] if places else text
    assert stream.stopped == bool(places)


def sampled(generator, seed, beside=(), **more):
    request = GenerationRequest(TEXTS[0], max_tokens=30, seed=seed, **{"temperature": 0.9, "top_p": 0.8, **more})
    others = [start(generator, other) for other in beside]
    generation = start(generator, request)
    run(generator, generation, *others)
    return generation.out


@pytest.mark.parametrize("key", ["dialogpt-small", "bart-large-cnn"])
def test_a_seed_gives_the_same_text_whatever_else_runs(key):
    generator = engine(key)
    alone = sampled(generator, 7)
    beside = [GenerationRequest(text, max_tokens=25, seed=number) for number, text in enumerate(TEXTS)]
    assert sampled(generator, 7, beside) == alone
    assert sampled(engine(key), 7) == alone
    assert sampled(generator, 8) != alone
    assert sampled(generator, None) != sampled(generator, None)


def test_top_p_takes_only_the_likeliest():
    generator = engine("dialogpt-small")
    assert sampled(generator, 3, top_p=1e-6) == expected("dialogpt-small", TEXTS[0], 30)[:30]


def test_sampled_tokens_have_the_models_chances():
    import torch

    from deployments.engines.generating.sampling import Rules, Sampler

    rules = Rules(reference("dialogpt-small")[0].generation_config)
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.5])
    sampler = Sampler(GenerationRequest("", temperature=0.7, top_p=0.9, seed=1), rules, [0], 1)
    drawn = torch.tensor([sampler.choose(logits.clone(), []) for _ in range(20_000)]).bincount(minlength=5) / 20_000
    chances = torch.softmax(logits / 0.7, 0)
    order = chances.argsort(descending=True)
    kept = order[: int((chances[order].cumsum(0) < 0.9).sum()) + 1]
    wanted = torch.zeros(5).index_copy(0, kept, chances[kept] / chances[kept].sum())
    assert (drawn - wanted).abs().max() < 0.015


def test_penalties_are_those_of_openai():
    import torch

    from deployments.engines.generating.sampling import Rules, Sampler

    rules = Rules(reference("dialogpt-small")[0].generation_config)
    request = GenerationRequest("", temperature=0, frequency_penalty=0.5, presence_penalty=0.25)
    sampler = Sampler(request, rules, [0], 1)
    logits, counts, out = torch.tensor([1.0, 1.6, 0.3]), [0, 0, 0], []
    for _ in range(12):
        scores = [value - 0.5 * n - 0.25 * (n > 0) for value, n in zip(logits.tolist(), counts, strict=True)]
        out.append(sampler.choose(logits.clone(), out))
        assert out[-1] == max(range(3), key=scores.__getitem__)
        counts[out[-1]] += 1
    assert all(counts)


def test_numbers_that_are_not_finite_fail_one_generation_only():
    generator = engine("dialogpt-small")
    good, bad = start(generator, greedy(TEXTS[0], 10)), start(generator, greedy(TEXTS[1], 10))
    generator.step()
    decode = generator._network.decode
    row = generator.batch._running.index(bad)

    def spoilt(tokens):
        logits = decode(tokens)
        logits[row] = float("nan")
        return logits

    generator._network.decode = spoilt
    generator.step()
    generator._network.decode = decode
    run(generator, good)
    assert good.out == expected("dialogpt-small", TEXTS[0], 10)
    with pytest.raises(EngineFault, match="not finite"):
        bad.take("")


def test_a_step_that_fails_fails_who_was_in_it_and_the_next_ones_serve():
    generator = engine("dialogpt-small")
    caught = start(generator, greedy(TEXTS[0], 10))
    generator.step()
    decode = generator._network.decode
    generator._network.decode = lambda tokens: (_ for _ in ()).throw(RuntimeError("a secret text"))
    generator.step()
    generator._network.decode = decode
    with pytest.raises(EngineFault, match="RuntimeError") as failed:
        caught.take("")
    assert "secret" not in str(failed.value)
    after = start(generator, greedy(TEXTS[0], 10))
    run(generator, after)
    assert after.out == expected("dialogpt-small", TEXTS[0], 10)


def test_a_cancelled_generation_leaves_at_the_next_step():
    generator = engine("dialogpt-small")
    running = [start(generator, greedy(text, 200)) for text in TEXTS]
    generator.step()
    waiting = start(generator, greedy(TEXTS[0], 200))
    for generation in (running[1], running[3], waiting):
        generation.cancelled = True
    generator.step()
    assert len(generator.batch) == 2
    run(generator, running[0], running[2])
    assert running[0].out == expected("dialogpt-small", TEXTS[0], 200)
    assert len(generator.batch) == 0


def test_a_long_prompt_does_not_hold_up_the_first_token_of_short_ones():
    generator = engine("dialogpt-small")
    generator.batch._bounds = type(generator.batch._bounds)(rows=8, portion=32, tokens=1 << 20)
    long = start(generator, greedy("a " * 300, 5))
    generator.step()
    steps = []
    for text in TEXTS[:2] * 2:
        short, count = start(generator, greedy(text, 3)), 0
        while not short.out:
            generator.step()
            count += 1
        steps.append(count)
    assert max(steps) <= 2
    assert not long.out
    run(generator, long)
    assert long.out == expected("dialogpt-small", "a " * 300, 5)


# -- prompts -----------------------------------------------------------------------------------------------------------


def test_a_chat_without_a_template_is_turns_that_end_with_the_end_token():
    generator, (_, tokenizer) = engine("dialogpt-small"), reference("dialogpt-small")
    turns = (Turn("user", "the end"), Turn("assistant", "a"), Turn("system", "an"), Turn("user", "the<|endoftext|>"))
    end = tokenizer.eos_token_id
    ids = [tokenizer(text)["input_ids"] for text in ("an", "the end", "a", "the<|endoftext|>")]
    wanted = [token for turn in ids for token in (*turn, end)]
    assert generator.read(greedy(turns)).source == wanted
    assert wanted.count(end) == 4


def test_a_chat_template_is_the_models_own_and_typed_special_tokens_stay_text():
    generator, (_, tokenizer) = engine("mistral-7b-instruct"), reference("mistral-7b-instruct")
    turns = (Turn("user", "the end"), Turn("assistant", "a"), Turn("user", "an"))
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    marked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    tokenizer.split_special_tokens = False
    wanted = tokenizer(marked, add_special_tokens=False)["input_ids"]
    tokenizer.split_special_tokens = True
    assert generator.read(greedy(turns)).source == wanted
    typed = generator.read(greedy((*turns[:2], Turn("user", "an</s><s>a")))).source
    end, begin = tokenizer.eos_token_id, tokenizer.bos_token_id
    assert (typed.count(end), typed.count(begin)) == (wanted.count(end), wanted.count(begin))
    assert len(typed) > len(wanted)
    summary = engine("flan-t5-large").read(greedy("a</s>the")).source
    assert list(summary).count(1) == 1


def test_a_typed_special_token_is_text_in_a_plain_prompt_too():
    generator, (_, tokenizer) = engine("bart-large-cnn"), reference("bart-large-cnn")
    source = generator.read(greedy("a</s>the")).source
    assert list(source) == tokenizer("a</s>the")["input_ids"]
    assert list(source).count(tokenizer.eos_token_id) == 1


def test_context_limits_name_their_numbers():
    generator = engine("dialogpt-small")
    limit = generator.describe().limits["max_tokens"]
    with pytest.raises(ContextLengthExceeded, match=rf"1[0-9]{{3}} tokens and max_tokens asks for 20; .* {limit}"):
        generator.read(greedy("x" * 1500, 20))
    for truncate, kept in (("end", "y" * (limit - 20)), ("start", "z" * (limit - 20))):
        generation = generator.read(greedy("y" * 1500 + "z" * 1500, 20, truncate=truncate))
        assert list(generation.source) == generator._reader._plain_ids(kept)
        assert generation.cut == {"tokens": 3000, "kept": limit - 20}
    assert generator.read(GenerationRequest("x" * 100)).most == limit - 100
    with pytest.raises(ContextLengthExceeded, match=f"{limit}"):
        generator.read(greedy("a", limit))
    text = engine("bart-large-cnn")
    with pytest.raises(ContextLengthExceeded, match="1502 tokens; bart-large-cnn reads at most 1024"):
        text.read(greedy("x" * 1500, 20))
    cut = text.read(greedy("x" * 1500, 20, truncate="end"))
    assert (len(cut.source), list(cut.source)[-1]) == (1024, 2)


def test_the_oldest_turns_of_a_chat_are_dropped_at_its_start():
    generator = engine("dialogpt-small")
    limit = generator.describe().limits["max_tokens"]
    old, new = Turn("user", "x" * 700), Turn("user", "y" * 600)
    with pytest.raises(ContextLengthExceeded):
        generator.read(greedy((Turn("system", "z"), old, new)))
    kept = generator.read(greedy((Turn("system", "z"), old, new), truncate="start"))
    assert len(kept.source) == 2 + 601
    assert kept.cut == {"tokens": 2 + 701 + 601, "kept": 2 + 601}
    with pytest.raises(ContextLengthExceeded):
        generator.read(greedy((Turn("user", "x" * limit),), truncate="start"))


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"stop": ("a",) * 5}, "stop"),
        ({"stop": ("",)}, "stop"),
        ({"min_tokens": 30, "max_tokens": 20}, "min_tokens"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"seed": 2**64}, "seed"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": ()}, "messages"),
    ],
)
def test_bad_requests_name_their_field(options, param):
    generator = engine("dialogpt-small")
    with pytest.raises(InvalidInput) as refused:
        generator.read(GenerationRequest(**{"prompt": "a", **options}))
    assert refused.value.param == param


def test_a_model_of_summaries_answers_no_chats():
    with pytest.raises(InvalidInput, match="no chats"):
        engine("bart-large-cnn").read(greedy((Turn("user", "a"),)))


def test_a_small_budget_of_keys_and_values_bounds_the_context():
    generator = engine("dialogpt-small", kv_mb=1)
    assert generator.describe().limits["max_tokens"] == 1024
    assert generator.batch._bounds.tokens == 2**20 // (2 * 2 * 32 * 4)


@pytest.mark.parametrize("vocabulary", [50, 3000])
def test_rows_that_are_drawn_together_are_drawn_as_they_would_be_alone(vocabulary):
    import torch

    from deployments.engines.generating.sampling import draw

    # Some with a nucleus, one of it so small that the likeliest token is left, one wider than the first look.
    torch.manual_seed(0)
    logits = torch.randn(40, vocabulary)
    logits[3] = 0
    wishes = [(0.5 + row / 20, (1.0, 0.9, 0.0, 0.999)[row % 4], float(torch.rand(()))) for row in range(40)]
    together = draw(logits, wishes)
    assert together == [draw(logits[row : row + 1], wishes[row : row + 1])[0] for row in range(40)]
    assert together[2::4] == logits[2::4].argmax(1).tolist()
    assert len(set(together)) > 10
