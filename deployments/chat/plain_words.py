"""A text as the crisis rules read it: lower case, plain letters, one way of writing for what people write in many.

Undone, in this order: full-width and other compatible forms, invisible characters, accents, letters of other scripts that
look like Latin ones, digits and signs in the place of letters (``su1c1de``, ``k!ll``), letters that stand apart
(``k i l l``), repeated letters (``diiie``; also double ones, so rules are written with ``squeeze``), contractions, and
spellings that are one letter off a word that means nothing else (``suiside``).
"""

import re
import unicodedata
from functools import lru_cache

LONGEST = 20_000
"""Characters that are read; the routes take far fewer."""
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝкмтвнгпɑαβεικνορτυχωɡıłøđßℓ’‘ʼ`´“”„«»",
    "aeopcyxijshdqwkmtvnrnaabeiknoptuxwgilodsl'''''\"\"\"\"\"",
)
_LEET = str.maketrans("013457@$!|€+", "oieastasiiet")
_LEET_WORD = re.compile(r"(?<![a-z0-9@$!|€+])(?=[a-z]*[0-9@$!|€+*])(?=[^\s]*[a-z])[a-z0-9@$!|€+*]+(?![a-z0-9@$|€+])")
_APART = re.compile(r"(?<![a-z])(?:(?:[a-z][\s.\-_*,/~]{1,3}){3,}|(?:[a-z][.\-_*/~]){2,})[a-z](?![a-z])")
_UNUSUAL = re.compile(r"[^ -~]")
_RUN = re.compile(r"([a-z])\1+")
_WORD = re.compile(r"[a-z']+")
_CONTRACTIONS = {
    "i'm": "i am", "im": "i am", "i've": "i have", "ive": "i have", "i'd": "i would", "i'll": "i will",
    "don't": "do not", "dont": "do not", "doesn't": "does not", "doesnt": "does not", "didn't": "did not",
    "didnt": "did not", "can't": "can not", "cant": "can not", "cannot": "can not", "won't": "will not",
    "wont": "will not", "wouldn't": "would not", "wouldnt": "would not", "isn't": "is not", "isnt": "is not",
    "aren't": "are not", "wasn't": "was not", "wasnt": "was not", "haven't": "have not", "havent": "have not",
    "shouldn't": "should not", "couldn't": "could not", "ain't": "am not", "aint": "am not",
    "he's": "he is", "hes": "he is", "she's": "she is", "shes": "she is", "it's": "it is", "that's": "that is",
    "there's": "there is", "theres": "there is", "they're": "they are", "you're": "you are", "who's": "who is",
    "he'd": "he would", "she'd": "she would", "we'd": "we would", "they'd": "they would", "you'd": "you would",
    "it'd": "it would", "there'd": "there would", "he'll": "he will", "she'll": "she will", "they'll": "they will",
    "it'll": "it will", "you'll": "you will", "there'll": "there will", "that'll": "that will", "itll": "it will",
    "hadn't": "had not", "hadnt": "had not", "life's": "life is", "what's": "what is", "everything's": "everything is",
    "nothing's": "nothing is", "they've": "they have", "you've": "you have", "we're": "we are", "we've": "we have",
    "wanna": "want to", "wana": "want to", "gonna": "going to", "gona": "going to", "gotta": "have to",
    "u": "you", "ur": "your", "r": "are", "n": "and", "w": "with", "tho": "though", "cuz": "because",
    "myslef": "myself", "mysefl": "myself", "meself": "myself", "mself": "myself",
    "wnat": "want", "watn": "want", "wantto": "want to", "lief": "life", "lfie": "life",
    "killmyself": "kill myself", "hurtmyself": "hurt myself", "harmmyself": "harm myself", "cutmyself": "cut myself",
    "wannadie": "want to die", "wanttodie": "want to die", "iwanttodie": "i want to die",
    "iwannadie": "i want to die", "endmylife": "end my life", "enditall": "end it all",
    "killingmyself": "killing myself", "selfharm": "self harm", "selfharming": "self harming",
    "iwanttokillmyself": "i want to kill myself", "iwannakillmyself": "i want to kill myself",
    "kil": "kill", "kll": "kill", "kiill": "kill", "klil": "kill", "hopless": "hopeless", "ded": "dead",
    "wnna": "want to", "wann": "want to", "wan": "want", "jst": "just", "wld": "would", "hav": "have", "lyf": "life",
    "plz": "please", "suicidle": "suicidal", "rn": "right now", "dieing": "dying", "tmrw": "tomorrow",
}  # fmt: skip
_DISTINCT = ("suicide", "suicidal", "suicidally", "myself", "worthless", "hopeless", "overdose", "overdosed", "unalive")
"""Words that a spelling one letter off is taken for."""
_NOT_MEANT = frozenset({"hopelessly", "yourself", "itself", "himself", "herself", "thyself"})


def squeeze(text: str) -> str:
    """Every run of a letter as one letter."""
    return _RUN.sub(r"\1", text)


def plain_words(text: str) -> str:
    """The text as the rules read it. Punctuation stays: it ends sentences and marks quotations."""
    text = re.sub(
        r"(?<=[a-z])I+",
        lambda found: "l" * len(found.group()),
        unicodedata.normalize("NFKC", re.sub(r"\s+", " ", text[:LONGEST])),
    )
    text = re.sub(r"(?<=[a-z] )2(?= [a-z0-9])", "to", text.casefold().translate(_LOOKALIKES))
    text = _UNUSUAL.sub(_visible, unicodedata.normalize("NFKD", text)).translate(_LOOKALIKES)
    # Dots between all words are only another kind of blank.
    text = re.sub(r"(?<=[a-z])\.(?=[a-z]{2,}\.)|(?<=\.[a-z]{2})\.(?=[a-z])", " ", text)
    text = _LEET_WORD.sub(_unleet, text)
    text = _APART.sub(lambda found: re.sub(r"[^a-z]", "", found.group()), text)
    words = _WORD.sub(lambda found: _word(found.group()), re.sub(r"[_*~]", "", text).replace("-", " "))
    return squeeze(re.sub(r" +", " ", words))


def _visible(found: re.Match[str]) -> str:
    """The character, unless it is an accent of its own or shows nothing."""
    return "" if unicodedata.category(found.group()) in ("Mn", "Cf", "Cc") else found.group()


def _unleet(found: re.Match[str]) -> str:
    """Signs as letters, but for those that end the word (``really!``) and for numbers with a unit (``5mg``)."""
    word = found.group()
    if re.fullmatch(r"\d+[a-z]{1,3}", word) or re.fullmatch(r"[a-z]+[!*+]*|[a-z]{3,}\d+[!*+]*", word):
        return word
    bare = word.rstrip("!*+")
    return bare.translate(_LEET) + word[len(bare) :]


@lru_cache(maxsize=4096)
def _word(word: str) -> str:
    """One word in its usual form."""
    quoted = word.strip("'")
    if not quoted:
        return word
    for form in (quoted, _at_most_two(quoted), squeeze(quoted)):
        if form in _CONTRACTIONS:
            return word.replace(quoted, _CONTRACTIONS[form])
    if len(quoted) >= 5 and quoted not in _NOT_MEANT and quoted[0] in "smwhouyc":
        for known in _DISTINCT:
            if _one_off(squeeze(quoted), squeeze(known)):
                return word.replace(quoted, known)
    return word


def _at_most_two(word: str) -> str:
    return re.sub(r"([a-z])\1{2,}", r"\1\1", word)


def _one_off(a: str, b: str) -> bool:
    """Whether one letter was left out, added, changed, or two neighbours swapped (or nothing)."""
    if a == b:
        return True
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    swapped = len(rest_a) >= 2 and len(rest_b) >= 2 and rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
    return swapped or rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:]
