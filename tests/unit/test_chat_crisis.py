"""The crisis check on a labelled set of our own: recall and precision, and each kind of disguise."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.chat.crisis import SWITCH, Crisis, check
from deployments.chat.crisis_course import LASTS, Said, course, is_all_clear, said, told
from deployments.generation import Turn

SET = yaml.safe_load((Path(__file__).parents[1] / "data" / "crisis_phrases.yaml").read_text())
PHRASES = [(part, label, text) for part, labels in SET.items() for label, texts in labels.items() for text in texts]


def stops(found):
    """Whether a reply is our own words alone, as the chat decides it without a reading of the mood."""
    return found.stops_generation or found.level() > SWITCH


def figures(part=None):
    """Recall and precision of what stops generation, and recall of what shows help, in a part of the set."""
    rows = [(label, check(text)) for where, label, text in PHRASES if part in (None, where)]
    grave = [stops(found) for label, found in rows if label in ("crisis", "other")]
    stopped = [label in ("crisis", "other") for label, found in rows if stops(found)]
    shown = [found.needs_help_lines for label, found in rows if label != "none"]
    unneeded = [found.needs_help_lines for label, found in rows if label == "none"]
    return {
        "recall": sum(grave) / len(grave),
        "precision": sum(stopped) / len(stopped),
        "help_recall": sum(shown) / len(shown),
        "help_without_need": sum(unneeded) / len(unneeded),
    }


def test_the_set_is_large_and_every_phrase_is_there_once():
    texts = [text for _, _, text in PHRASES]
    assert len(texts) >= 150
    assert len(set(texts)) == len(texts)
    page = (Path(__file__).parents[2] / "docs" / "chat.md").read_text()
    assert f"has {len(texts)} phrases" in page
    assert all(any(label == wanted for _, label, _ in PHRASES) for wanted in ("crisis", "other", "concern", "none"))


def test_recall_and_precision_on_the_whole_set():
    found = figures()
    print(found)
    assert found["recall"] >= 0.98
    assert found["precision"] >= 0.98
    assert found["help_recall"] >= 0.98
    assert found["help_without_need"] <= 0.03


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("I never said I want to die", "concern"),
        ("I do not want to kill myself", "concern"),
        ("I do not want to live", "crisis"),
        ("I am not okay, I want to die", "crisis"),
        ("this traffic is killing me", "none"),
        ("she wants to kill herself", "other"),
        ('the lyrics say "kill myself"', "none"),
        ('I keep telling myself "just kill myself"', "crisis"),
        ("I want to c0mmit su!cide", "crisis"),
        ("I wаnt to k\u0456ll mуself", "crisis"),
        ("i  want\tto\ndie", "crisis"),
        ("I WANT TO DIE", "crisis"),
        ("I w\u200ba\u200bn\u200bt to d\u00adie", "crisis"),
        ("𝐈 𝐰𝐚𝐧𝐭 𝐭𝐨 𝐝𝐢𝐞", "crisis"),
        ("", "none"),
        ("x" * 50_000, "none"),
    ],
)
def test_disguises_denials_and_others(text, outcome):
    assert check(text).outcome == outcome


def test_a_denial_does_not_hold_beyond_but():
    assert check("I do not want to die but I will kill myself").outcome == "crisis"


def test_the_level_follows_the_gravest_indicator():
    assert check("I want to die").level() == 0.8
    assert check("I cut my arms again").level() == 0.6
    hopeless = check("I feel hopeless")
    assert hopeless.level() == 0.4
    assert hopeless.level(strong_sadness=True) == 0.7
    assert hopeless.level(strong_sadness=True, falling=True) == 0.9
    assert check("my friend wants to kill himself").level(strong_sadness=True) == 0.0
    assert check("hello").level(strong_sadness=True, falling=True) == 0.0


@pytest.mark.parametrize("text", ["I don't want to kill myself", "I used to be suicidal years ago but I'm better now"])
def test_a_denied_finding_counts_no_more_than_a_concern(text):
    found = check(text)
    assert (found.outcome, found.level()) == ("concern", 0.4)
    assert not stops(found)


@pytest.mark.parametrize(
    ("idiom", "meant"),
    [
        ("I nearly died of laughter", "I nearly died of laughter and now I want to die"),
        ("I could die of embarrassment", "I want to die of an overdose"),
        ("I want to kill time", "I want to kill time until I kill myself"),
        ("I cut my hand on the tin", "I cut my hand on purpose"),
        ("my phone is about to die", "my phone is off and I want to die"),
        ("I want to die laughing", "I want to die, not laughing"),
        ("I will love you until I die", "I will starve myself until I die"),
        ("I was scared that I would die in the crash", "I'm scared that I will die by my own hand"),
        ("I would rather die than eat olives", "I would rather die than go through this again"),
        ("the exams are hard and I want it all to be over", "I want my life to be over"),
        ("I took all my medication with breakfast as prescribed", "I took all my medication with vodka"),
        ("I overdosed on cookies", "I overdosed on cookies and tylenol"),
        ("she shot herself in the foot", "she shot herself in the foot on purpose"),
    ],
)
def test_an_idiom_cancels_what_is_wholly_inside_it_and_nothing_else(idiom, meant):
    assert not stops(check(idiom))
    assert stops(check(meant))


def test_a_quotation_that_the_writer_means_is_the_writers_own():
    assert check('I wrote a song called "I want to die"').outcome == "none"
    assert check('I wrote a song called "I want to die" and I mean every word').outcome == "crisis"
    assert check('the poem says "I wish to die" and I need to analyse it').outcome == "none"


def turns(*texts):
    return [Said(text, check(text), (Turn("user", text), Turn("assistant", "…"))) for text in texts]


def test_a_crisis_lasts_five_turns_or_until_an_all_clear():
    before = turns("hello", "I want to die")
    for _ in range(LASTS):
        counts = course(Crisis(), "ok", before)
        assert (counts.outcome, counts.indicators, counts.when) == ("crisis", ("suicidal_ideation",), "lasting")
        before += turns("ok")
    assert course(Crisis(), "ok", before) == Crisis()
    assert [turn.content for turn in told(before)] == ["hello", "…"]
    cleared = turns("I want to die", "I am safe now")
    assert course(Crisis(), "ok", cleared) == Crisis()
    assert told(cleared) == ()
    assert course(check("I am safe now"), "I am safe now", cleared[:1]).when == "cleared"
    assert course(Crisis(), "ok", [*cleared, *turns("I will kill myself")]).outcome == "crisis"


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("I am safe now", True),
        ("I'm with somebody now", True),
        ("I'm safe now, my sister is here", True),
        ("I'm okay now, I talked to my dad", True),
        ("I called the crisis line and I feel better", True),
        ("ok", False),
        ("I'm fine", False),
        ("I'm not safe now", False),
        ("I will be safe when I'm dead", False),
        ("Are you saying I am safe now?", False),
        ("I am safe now but I feel hopeless", False),
        ("I am safe now, the pills are here", False),
        ("finally I am safe now, at peace", False),
    ],
)
def test_an_all_clear_is_said_in_so_many_words(text, clear):
    assert is_all_clear(text, check(text), "crisis") is clear


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("she is safe now", True),
        ("He's in hospital now", True),
        ("my friend is safe again, I called his parents", True),
        ("I am safe now", False),
        ("she is not safe", False),
        ("is she safe now?", False),
    ],
)
def test_worry_about_another_ends_when_they_are_safe(text, clear):
    worry = check("my friend wants to kill himself")
    assert is_all_clear(text, check(text), worry.outcome) is clear
    before = [Said("…", worry), Said(text, check(text))]
    assert (course(Crisis(), "ok", before).outcome == "none") is clear


def test_what_may_become_of_somebody_is_no_wish_of_theirs():
    assert check("My father might die of it").outcome == "none"
    assert check("the old printer will die").outcome == "none"
    assert check("My father says he is going to die tonight").outcome == "other"
    assert check("I might die tonight").outcome == "crisis"


def test_a_given_history_is_checked_turn_by_turn_across_its_seams():
    history = [
        Turn("assistant", "hi"),
        Turn("user", "I want to"),
        Turn("assistant", "yes?"),
        Turn("user", "kill myself"),
    ]
    read = said(history)
    assert [each.found.outcome for each in read] == ["none", "crisis"]
    assert [turn.content for turn in told(read)] == ["I want to", "yes?"]


def test_words_across_the_seam_of_two_messages_count():
    assert check("die", ["I want to"]).outcome == "crisis"
    assert check("die Antwort ist gut", ["What do you want to say"]).outcome != "crisis"
    assert check("thank you", ["I want to die"]).outcome == "none", "how long it lasts is for the course"


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=200), st.text(max_size=100))
def test_nothing_before_or_behind_a_sentence_hides_it(before, behind):
    assert check(f"{before}\n. I want to kill myself. {behind}").outcome == "crisis"


@pytest.mark.parametrize("piece", ["i ", "not ", "want to ", "my ", "a.b.", "i'm ", '"', "k i l l ", "!!1", "people "])
def test_long_repetitive_messages_are_read_in_bounded_work(piece):
    """No pattern may explode; the file's own time limit would end the test."""
    check(piece * (2000 // len(piece)))


if __name__ == "__main__":
    for part in (*SET, None):
        print(part, figures(part))
    for part, label, text in PHRASES:
        found = check(text)
        if found.outcome != label:
            print(f"{part:9} {label:8} -> {found.outcome:8} {found.indicators} {text}")
