"""The crisis check on a labelled set of our own: recall and precision, and each kind of disguise."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.chat.crisis import check

SET = yaml.safe_load((Path(__file__).parents[1] / "data" / "crisis_phrases.yaml").read_text())
PHRASES = [(part, label, text) for part, labels in SET.items() for label, texts in labels.items() for text in texts]


def figures(part=None):
    """Recall and precision of what stops generation, and recall of what shows help, in a part of the set."""
    rows = [(label, check(text)) for where, label, text in PHRASES if part in (None, where)]
    grave = [found.stops_generation for label, found in rows if label in ("crisis", "other")]
    stopped = [label in ("crisis", "other") for label, found in rows if found.stops_generation]
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


def test_words_across_the_seam_of_two_messages_count():
    assert check("die", ["I want to"]).outcome == "crisis"
    assert check("die Antwort ist gut", ["What do you want to say"]).outcome != "crisis"
    assert check("thank you", ["I want to die"]).outcome == "none", "what was said before was answered then"


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=200), st.text(max_size=100))
def test_nothing_before_or_behind_a_sentence_hides_it(before, behind):
    assert check(f"{before}\n. I want to kill myself. {behind}").outcome == "crisis"


@pytest.mark.parametrize("piece", ["i ", "not ", "want to ", "my ", "a.b.", "i'm ", '"', "k i l l ", "!!1", "people "])
def test_long_repetitive_messages_are_read_in_bounded_work(piece):
    """No pattern may explode; the file's own time limit would end the test."""
    check(piece * (2000 // len(piece)))


if __name__ == "__main__":
    for part in ("tuned", "first_run", "second_run", "third_run", "fourth_run", "fifth_run", None):
        print(part, figures(part))
    for part, label, text in PHRASES:
        found = check(text)
        if found.outcome != label:
            print(f"{part:9} {label:8} -> {found.outcome:8} {found.indicators} {text}")
