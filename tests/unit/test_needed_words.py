"""The sieve before the crisis rules: it may let through what does not match, and never the other way round."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_chat_crisis import PHRASES

from deployments.chat.crisis_rules import IDIOMS, RULES
from deployments.chat.needed_words import Sieve
from deployments.chat.plain_words import plain_words

PATTERNS = [*IDIOMS, *(rule.pattern for rule in RULES)]
SIEVE = Sieve(enumerate(PATTERNS))


def may_match(pattern, text, flags=0):
    return Sieve([("it", re.compile(pattern, flags))]).possible(text) == ["it"]


@pytest.mark.parametrize(
    ("pattern", "let_through", "kept_out"),
    [
        (r"\bkil(?:s|ed)? me\b", ["they kil me", "me and kils"], ["skil me", "kil men", "kil"]),
        (r"\b(?:die|dying) now\b", ["dying now", "now die"], ["soldier now", "dying nowhere"]),
        (r"tok (?:al |many )?pils?\b", ["mistok pil", "pils tok"], ["tok plow", "pils"]),
        (r"\b(?:a(?:bcd|bef)|xyz)\b.{0,9}\bend", ["abef ending", "xyz end"], ["abeg end", "xyzw end", "xyz bend"]),
        (r"(?:ha)+\b", ["haha", "hahaha"], ["hi"]),
        (r"^no way$", ["no way", "way. no"], ["now way", "no ways"]),
        (r"\bself[ -]?harm\b", ["selfharm", "self-harm", "self harm"], ["itself harm", "self"]),
        (r"wake\b(?! up)", ["wake up"], ["waken"]),
        (r"[ab]+|\w+ \w+", ["", "anything"], []),
        (r"(?:now)?(?: here)?", ["", "there"], []),
    ],
)
def test_what_a_pattern_needs(pattern, let_through, kept_out):
    assert [text for text in let_through if not may_match(pattern, text)] == []
    assert [text for text in kept_out if may_match(pattern, text)] == []


def test_a_pattern_for_any_case_is_always_tried():
    assert may_match("kill", "KILL", re.IGNORECASE)


def test_items_come_in_their_order():
    sieve = Sieve((number, re.compile(word)) for number, word in enumerate(["bb", "aa", "cc", ".*"]))
    assert sieve.possible("aa bb") == [0, 1, 3]


def test_every_rule_that_matches_a_labelled_phrase_was_possible():
    for _, _, phrase in PHRASES:
        text = plain_words(phrase)
        matching = [number for number, pattern in enumerate(PATTERNS) if pattern.search(text)]
        assert set(matching) <= set(SIEVE.possible(text)), phrase


@pytest.mark.parametrize("number", range(len(PATTERNS)))
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    # What a pattern looks ahead for is hard to draw.
    suppress_health_check=[HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_whatever_a_rule_matches_was_possible(number, data):
    text = data.draw(st.from_regex(PATTERNS[number]))
    assert number in SIEVE.possible(text), text


def test_most_rules_need_not_be_tried_on_an_everyday_text():
    text = plain_words(
        "The meeting took the whole morning. We talked with my sister about the garden, and I cooked rice."
    )
    assert len(SIEVE.possible(text)) < len(PATTERNS) / 5
