"""What an answer of a language model must not have in it, and words that say nothing by themselves."""

import re

PLAIN = re.compile(r"[^\w\s.,;:!?'’()%\-–—/&]|_")
LINK = re.compile(r"https?|www\.|\b[\w-]+\.(?:com|org|net|io|edu|gov|de|uk|co|app|dev)\b|\b\w+@\w+", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
NUMBER_WORDS = re.compile(
    r"\b(?:eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|percent|per cent)\b",
    re.IGNORECASE,
)
UNKIND = re.compile(
    r"\b(?:deficit|deficien\w*|disorder\w*|diagnos\w*|symptom\w*|patholog\w*|patient(?:s|'s)?|therap\w*|clinic\w*|impair\w*|"
    r"abnormal\w*|disab\w*|adhd|autis\w*|dyslex\w*|depress\w*|anxi\w*|bipolar|trauma\w*|mental\w*|psych\w*|medic\w*|"
    r"syndrome|special needs|intelligen\w*|iq|gifted|talent\w*|weak\w*|poor\w*|fail(?:s|ed|ure|ing)?|lack\w*|bad(?:ly)?|"
    r"inadequate\w*|unable|incapable|cannot|can't|at risk|struggl\w*|below (?:average|normal|expect\w*)|behind|inferior|"
    r"lazy|stupid|dumb|slow learner|worthless|hopeless|problem child|troubl\w*|insufficient\w*|low[- ]perform\w*)\b",
    re.IGNORECASE,
)
ORDERS = re.compile(
    r"\b(?:ignor\w+|disregard\w*|overrid\w+|bypass\w*|jailbreak\w*|prompt(?:s|ed)?|instruction\w*|system message|"
    r"developer (?:mode|message)|as an ai|language model|chatbot|assistant|openai|gpt\w*|api key|password\w*|secret\w*|"
    r"token\w*|json|fence|data-[0-9a-f]{4,}|confidential|full marks|top marks?|grade[sd]?|grading|pass mark|exam\w*|"
    r"award\w*|promot(?:e|ed|es|ion)\w*|certif\w*|expel\w*|suspend\w*|admin\w*|sudo|root access|execut\w*|delete\w*|"
    r"transfer\w*|payment\w*|you are now|from now on|must (?:now|give|set|say|answer|respond|output)|"
    r"(?:set|change|raise|increase|lower|output|print|reveal|repeat|return|give|write) (?:\w+ ){0,3}"
    r"(?:score\w*|mark\w*|rating\w*|points?|level to|band|result\w*|confidence)|perfect score|maximum score|"
    r"score of|scored|rated|rating)\b|(?:^|[.!?]\s+)(?:system|user|assistant|developer|teacher)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
CAPITAL = re.compile(r"(?<![.!?:]\s)(?<!^)\b[A-Z][\w'’]+")
PERSON_FIRST = re.compile(
    r"(?:^|[.!?:]\s+)([A-Z][\w’']*)\s+(?:is|was|has|had|can|could|may|might|will|would|should|shows?|showed|uses?|used|works?|"
    r"worked|seems?|appears?|demonstrates?|displays?|tends?|tries|tried|keeps?|makes?|takes?|stays?|needs?|and [A-Z])\b"
)
PERSONAL = re.compile(r"\b(?:he|she|his|her|hers|him|himself|herself|boy|girl|son|daughter|mr|mrs|ms)\b", re.IGNORECASE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SUBJECTS = _words(
    """the this that these those it they there both students student teacher learner learners working words talking task
    tasks what how some here each one others language effort efforts practice evidence observation observations signs
    overall together so such collaboration cooperation focus attention persistence tone confidence growth progress nothing
    much"""
)
"""Words that a sentence may begin with before a verb without naming somebody, beside our own for the skill."""
COMMON = _words(
    """about after again also been before being between both could does each even every from give given gives have here
    into just keep kept like made make makes many more most much next often only other others over same shows
    show some such student students teacher than that their them then there these they thing things this those
    through time under very want well were what when where which while will with would your skill skills score
    data must rules talk talks talking tell tells told said take takes look looks come comes came want good know
    name work works model estimate within here
    play plays"""
)
"""Words that no sentence is about."""
RELATED = {
    "empathy": "care caring listening kindness group partner classmate emotions",
    "problem_solving": "retry answer puzzle attempt change approach strategy reasoning",
    "self_regulation": "distraction interruption concentration pause return",
    "resilience": "attempt setback persistence difficult challenge bounce",
}
"""Words beside our own that speak of a skill."""
