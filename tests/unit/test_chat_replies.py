"""The check of what a model wrote, on a labelled set of our own, and the gate that shows a reply sentence by sentence."""

from pathlib import Path

import pytest
import yaml

from deployments.chat import reply_check
from deployments.chat.reply_check import LONGEST, SentenceGate, Withheld, inspect

PARTS = yaml.safe_load((Path(__file__).parents[1] / "data" / "chat_replies.yaml").read_text())
DOCS = Path(__file__).parents[2] / "docs" / "chat.md"


def withheld(text):
    try:
        inspect(text)
    except Withheld as why:
        return why.reason
    return None


@pytest.mark.parametrize("part", PARTS)
def test_bad_replies_are_withheld_and_good_ones_shown(part):
    bad = [text for texts in PARTS[part]["bad"].values() for text in texts]
    assert [text for text in bad if withheld(text) is None] == []
    assert {text: why for text in PARTS[part]["good"] if (why := withheld(text))} == {}


def test_the_set_is_large_and_the_document_has_its_size():
    bad = sum(len(texts) for part in PARTS.values() for texts in part["bad"].values())
    good = sum(len(part["good"]) for part in PARTS.values())
    assert min(bad, good) >= 60
    assert f"{bad} bad and {good} good replies" in DOCS.read_text().replace("\n", " ")


@pytest.mark.parametrize("reason", sorted(PARTS["tuned"]["bad"]))
def test_the_reason_is_what_is_wrong(reason):
    texts = PARTS["tuned"]["bad"][reason]
    told = [withheld(text) for text in texts]
    assert told.count(reason) >= 0.8 * len(texts), dict(zip(texts, told, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "You  s e e m  depressed.",
        "Y0u might be b1polar.",
        "Take some ibuprofеn.",
        "YOU SHOULD TAKE SOME IBUPROFEN",
        "Kéep this betwéen us.",
        "I cannot say whether you should stop, but take two tablets.",
        "You are not stupid, you are pathetic.",
        "I suggest you do not tell anyone.",
    ],
)
def test_disguises_and_turns_do_not_help(text):
    assert withheld(text)


@pytest.mark.parametrize(
    "text",
    [
        "I cannot tell you whether this is depression; a doctor can.",
        "I'm not able to say anything about ibuprofen or other tablets.",
        "I can't recommend a dose. What did your doctor say?",
    ],
)
def test_a_refusal_may_name_what_it_refuses(text):
    assert withheld(text) is None


# -- the gate --------------------------------------------------------------------------------------------------------------


def run(text):
    """What a gate shows of a text that comes letter by letter, and why it stops."""
    gate, shown = SentenceGate(), ""
    try:
        for letter in text:
            shown += gate.feed(letter)
        return shown + gate.finish(), None
    except Withheld as why:
        return shown, why.reason


def test_the_gate_reads_in_proportion_to_the_reply(monkeypatch):
    read = []
    monkeypatch.setattr(reply_check, "inspect", lambda text: read.append(len(text)))
    for sentences in (90, 360):
        read.clear()
        gate, sentence = SentenceGate(), "I am here. "
        shown = [gate.feed(letter) for _ in range(sentences) for letter in sentence]
        assert "".join([*shown, gate.finish()]) == sentence * sentences
        assert max(read[:-1]) < 150
        assert sum(read) <= len(sentence) * sentences * 14


@pytest.mark.parametrize("text", ["Do it now. K. i. l. l yourself. Bye.", "You are fine. Take all of\nthe pills. Bye."])
def test_what_begins_in_a_sentence_that_was_shown_is_found(text):
    shown, reason = run(text)
    assert reason
    assert "Bye" not in shown


def test_a_sentence_before_is_read_whole_with_its_denial():
    gate = SentenceGate()
    told = [
        "You are not, whatever anybody says about it, and they say a lot, " * 3 + "a burden or a failure. ",
        "So. ",
    ] * 9
    shown = "".join(gate.feed(text) for text in told)
    assert shown + gate.finish() == "".join(told)


def test_a_reply_without_end_is_cut_off():
    assert run("na " * LONGEST)[1] == "too_long"
