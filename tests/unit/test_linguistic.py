"""Linguistic features: twenty texts counted by hand, syllables of known words, negation, and hostile input."""

import hashlib
from importlib.resources import files
from types import SimpleNamespace

import pytest

from deployments.errors import InvalidInput, UnusableData
from deployments.skills.features import FeatureSet
from deployments.skills.linguistic import extract as extracting
from deployments.skills.linguistic.extract import BY_GRAMMAR, NAMES, extract, extract_texts
from deployments.skills.linguistic.grammar import Grammar, depth, load_grammar
from deployments.skills.linguistic.lexicon import LONGEST_STEM, load_lexicon
from deployments.skills.linguistic.readability import syllables
from deployments.skills.linguistic.sentiment import model_tone
from deployments.skills.linguistic.words import sentences

MARKERS = NAMES[:5]
# Text; sentences, words, different words, syllables; words that each list matches: empathy, problem solving,
# perseverance, social, cognitive. Counted by hand against the lexicon.
GOLDEN = [
    ("I felt sad for her.", (1, 5, 5, 5), (2, 0, 0, 1, 0)),
    ("We made a plan and tested it.", (1, 7, 7, 8), (0, 2, 0, 1, 0)),
    ("I never give up!", (1, 4, 4, 5), (0, 0, 2, 0, 1)),
    ("I give up.", (1, 3, 3, 3), (0, 0, 0, 0, 0)),
    ("He is not kind.", (1, 4, 4, 4), (0, 0, 0, 1, 0)),
    ("They did not only help, they listened.", (1, 7, 6, 9), (2, 0, 0, 3, 0)),
    ("I don't care.", (1, 3, 3, 3), (0, 0, 0, 0, 0)),
    ("Not today, but she helped him.", (1, 6, 6, 7), (1, 0, 0, 3, 1)),
    ("I kept trying until it worked.", (1, 6, 6, 8), (0, 0, 3, 0, 0)),
    ("I figured out another way.", (1, 5, 5, 8), (0, 4, 0, 0, 1)),
    ("Mr. Smith asked us why. We told him.", (2, 8, 8, 8), (0, 0, 0, 5, 1)),
    ("I put myself in her shoes.", (1, 6, 6, 7), (3, 0, 0, 1, 0)),
    ("Because it broke, I thought about it.", (1, 7, 6, 9), (0, 0, 0, 0, 2)),
    ("Good dog. Good dog!", (2, 4, 2, 4), (0, 0, 0, 0, 0)),
    ("My friends and I shared 3 apples.", (1, 6, 6, 7), (1, 0, 0, 2, 0)),
    ("It’s hard, but we didn’t quit.", (1, 6, 6, 7), (0, 0, 2, 1, 1)),
    ("Without trying, nothing works.", (1, 4, 4, 7), (0, 0, 0, 0, 0)),
    ("Step by step we solved the puzzle.", (1, 7, 6, 8), (0, 5, 0, 1, 1)),
    ("Well-known words?\n\nYes", (2, 4, 4, 4), (0, 0, 0, 0, 1)),
    ("I apologized. She forgave me.", (2, 5, 5, 9), (2, 0, 0, 1, 0)),
    ("Is it 4.5 or e.g. 5? I wonder...", (2, 7, 7, 8), (0, 0, 0, 0, 1)),
]


@pytest.mark.parametrize(("text", "counts", "matches"), GOLDEN)
def test_texts_counted_by_hand(text, counts, matches):
    features = extract_texts([text]).features
    said, words, different, spoken = counts
    assert (features["word_count"], features["unique_word_count"]) == (words, different)
    assert features["avg_sentence_length"] == words / said
    assert features["readability_score"] == pytest.approx(
        min(121.22, 206.835 - 1.015 * words / said - 84.6 * spoken / words)
    )
    assert [round(features[name] * words, 9) for name in MARKERS] == list(matches)


SYLLABLES = """the 1 cat 1 make 1 table 2 little 2 people 2 helped 1 wanted 2 boxes 2 makes 1 wishes 2 puzzles 2 idea 3
maybe 2 believe 2 everyone 3 something 2 beautiful 3 education 4 problem 2 solution 3 perseverance 4 trying 2 seeing 2 being 2
going 2 creative 3 create 2 science 2 quiet 2 family 3 friend 1 friends 1 different 3 difficult 3 understand 3 careful 2
lonely 2 movement 2 appreciate 4 appreciation 5 curious 3 serious 3 special 2 patient 2 nation 2 region 2 million 2 video 3
radio 3 piano 3 society 4 usually 4 language 2 question 2 queen 1 guess 1 league 1 called 1 killed 1 struggled 2 needed 2
stopped 1 school 1 teacher 2 through 1 though 1 thought 1 eye 1 year 1 area 3 giant 2 realize 3 rhythm 2 optimism 4
strength 1 whole 1 while 1 rule 1 apple 2 circle 2 cried 1 carried 2 easier 3 funniest 3 didn't 2 don't 1 wasn't 2 can't 1
couldn't 2 we're 1 homework 2 computer 3 experiment 4 mistake 2 finally 3 determined 3 collaborate 4 communication 5"""


def test_syllables_of_known_words():
    known = SYLLABLES.split()
    wrong = [
        (word, n, syllables(word)) for word, n in zip(known[::2], known[1::2], strict=True) if syllables(word) != int(n)
    ]
    assert wrong == []


def test_the_lexicon_has_not_changed_without_a_new_version():
    text = files("deployments.skills.linguistic").joinpath("lexicon.yaml").read_bytes()
    found = (load_lexicon().version, hashlib.sha256(text).hexdigest()[:16])
    assert found == ("1.0.0", "a58e9c0fb10f9044"), "raise the lexicon's version, and then this line"


def test_the_lexicon_covers_the_five_rates_and_its_stems_are_searched():
    lexicon = load_lexicon()
    assert tuple(lexicon.lists) == MARKERS
    for one in lexicon.lists.values():
        assert all(3 <= len(stem) <= LONGEST_STEM for stem in one.entries.stems)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("She was kind.", 1 / 3),
        ("She was never, ever kind.", 1 / 5),
        ("She was never kind.", 0),
        ("She was not very kind.", 0),
        ("She was not at all very kind.", 1 / 7),
        ("Nobody was kind.", 0),
        ("She wasnt kind.", 0),
        ("Not just kind.", 1 / 3),
        ("Not mean but kind.", 1 / 4),
    ],
)
def test_negation_reaches_three_words_within_a_clause(text, share):
    assert extract_texts([text]).features["empathy_markers"] == pytest.approx(share)


def test_every_rate_and_tone_is_in_its_units():
    texts = ["I am so happy! This is wonderful.", "I hate this. It is terrible and sad, and I cried."]
    for text in texts:
        features = extract_texts([text]).features
        FeatureSet.parse({"linguistic": features})
        assert 0 <= features["positive_sentiment"] <= 1
        assert -1 <= features["negative_sentiment"] <= 0
    happy, sad = (extract_texts([text]).features for text in texts)
    assert happy["positive_sentiment"] > sad["positive_sentiment"]
    assert happy["negative_sentiment"] == 0
    assert sad["negative_sentiment"] < -0.2


def test_several_texts_are_one_observation():
    one = extract_texts(["I tried. We won", "It was hard"])
    assert one.features["word_count"] == 7
    assert one.features["avg_sentence_length"] == pytest.approx(7 / 3)


def test_without_a_parser_nothing_is_invented():
    made = extract_texts(["She ran quickly."])
    assert (made.path, made.missing, made.grammar) == ("light", BY_GRAMMAR, None)
    assert made.completeness == 11 / 16


class _Pipeline:
    """A parser's shape: every word hangs on the one before it, and is a noun."""

    def pipe(self, texts, batch_size):
        for text in texts:
            tokens = [SimpleNamespace(i=i, pos_="NOUN") for i in range(len(text.split()))]
            for token in tokens:
                token.head = tokens[max(0, token.i - 1)]
            yield _Document(tokens)


class _Document(list):
    @property
    def sents(self):
        return [list(self)]


def test_with_a_parser_all_sixteen_are_there():
    grammar = Grammar.__new__(Grammar)
    grammar._pipeline, grammar.source = _Pipeline(), "en_chain 1.0"
    made = extract(sentences(["One two three. Four five."]), grammar)
    assert (made.path, made.completeness, made.missing) == ("full", 1.0, ())
    assert made.features["syntactic_complexity"] == (2 + 1) / 2
    assert (made.features["noun_count"], made.features["verb_count"]) == (5, 0)
    assert tuple(made.features) == NAMES
    FeatureSet.parse({"linguistic": made.features})


def test_depth_of_a_tree():
    tokens = [SimpleNamespace(i=i) for i in range(5)]
    for token, head in zip(tokens, (1, 1, 4, 2, 1), strict=True):
        token.head = tokens[head]
    assert depth(tokens) == 3
    chain = [SimpleNamespace(i=i) for i in range(5000)]
    for token in chain:
        token.head = chain[max(0, token.i - 1)]
    assert depth(chain) == 4999


def test_a_folder_without_a_pipeline_is_refused_with_the_setting_s_name(tmp_path):
    with pytest.raises(UnusableData, match="MUSTER_SPACY_MODEL"):
        load_grammar(tmp_path)


def test_a_model_s_tone_is_weighted_by_words():
    tone = model_tone([{"positive": 1.0, "negative": 0.0}, {"positive": 0.0, "negative": 0.5}], [3, 1], "m 1")
    assert (tone.positive, tone.negative, tone.source) == (0.75, -0.125, "m 1")


@pytest.mark.parametrize("texts", [[""], [" \n "], ["😀😀"], ["123 456"], ["\ud800\udfff"], ["\x00"]])
def test_texts_without_words_are_refused(texts):
    with pytest.raises(InvalidInput, match="no words") as refused:
        extract_texts(texts)
    assert refused.value.param == "texts"


@pytest.mark.parametrize(
    "text",
    [
        "Ich habe gestern mit meinen Freunden gespielt und wir haben dann zusammen gegessen, was sehr schön war, und am "
        "Ende waren alle müde und froh.",
        "Мне было очень грустно.",
        "我很高兴。今天天气很好。",
        "مرحبا كيف حالك",
        "नमस्ते दुनिया",
    ],
)
def test_what_is_surely_not_english_is_refused(text):
    with pytest.raises(InvalidInput, match="English"):
        extract_texts([text])


HUGE = extracting.MAX_CHARS
HOSTILE = [
    "a" * HUGE,
    "I a" + "'" * (HUGE - 3),
    "a'" * (HUGE // 2),
    "!?." * (HUGE // 3 - 1) + "a",
    ".'" * (HUGE // 2 - 1) + "a",
    "(a " * (HUGE // 3),
    "é\u0301" * (HUGE // 2),
    "😀a" * (HUGE // 2),
    "not " * (HUGE // 4),
    "x\n \n" * (HUGE // 4),
    "- " * (HUGE // 2 - 1) + "a",
    "give up " * (HUGE // 8),
    "the kind of " * (HUGE // 12),
    "Mr. " * (HUGE // 4),
    "\ud800the " * (HUGE // 5),
    "the\x00 end " * (HUGE // 9),
    "GREAT!!! but the :) " * (HUGE // 20),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_texts_are_read_or_refused_and_cost_little(number):
    """The suite's own time limit is the bound: an engine that backtracks would not come back."""
    try:
        made = extract_texts([HOSTILE[number]])
    except InvalidInput:
        return
    FeatureSet.parse({"linguistic": made.features})


def test_too_much_is_refused():
    with pytest.raises(InvalidInput, match="characters"):
        extract_texts(["a " * HUGE])
    with pytest.raises(InvalidInput, match="200 texts"):
        extract_texts(["a"] * 201)
