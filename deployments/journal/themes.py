"""What the entries are about: clusters of their embeddings, or the answer that there are none.

Embeddings of length 1 are joined by Ward's method. The number of themes, 2 to 6, is the one with the largest mean silhouette
(cosine distance). Two things must hold for themes to be there at all. That silhouette is above 0.25, under which Kaufman and
Rousseeuw (1990) see no substantial structure. And chance does not reach it: of as many points of one normal distribution with
the same mean and covariance, brought to length 1 and treated in the same way, none of 39 samples does (p <= 0.025).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.journal.days import alike, means
from deployments.journal.entries import Floats, Journal
from deployments.journal.finding import Effect, Finding, Tested

FEWEST = 20
MOST_THEMES = 6
SAMPLES = 39
LEAST_SILHOUETTE = 0.25
TERMS = 6
_WORD = r"(?u)\b[^\W\d_][\w'’-]{3,}\b"


@dataclass(frozen=True, slots=True)
class Theme:
    """``rows``: its entries; ``typical``: the three nearest to its centre; ``silhouette``: how well they belong together."""

    rows: NDArray[np.int64]
    typical: NDArray[np.int64]
    silhouette: float
    terms: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Themes:
    """Largest first; none where ``why`` says so. ``silhouette``: mean of all entries; ``p``: how often chance is as good."""

    themes: Sequence[Theme] = field(default_factory=tuple)
    silhouette: float | None = None
    p: float | None = None
    why: str | None = None

    def to_json(self, journal: Journal) -> dict[str, Any]:
        return {
            "found": len(self.themes),
            "silhouette": self.silhouette,
            "p_value": self.p,
            "reason": self.why,
            "themes": [
                {"entries": journal.ids(each.rows), "terms": list(each.terms), "silhouette": each.silhouette}
                for each in self.themes
            ],
        }


def find_themes(embeddings: Floats, texts: Sequence[str]) -> Themes:
    """Themes of entries with these embeddings (n, d)."""
    from sklearn import config_context

    # Our own arrays: checking them two hundred times takes longer than the arithmetic.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        return _found(embeddings, texts)


def _found(embeddings: Floats, texts: Sequence[str]) -> Themes:
    if len(embeddings) < FEWEST:
        return Themes(why=f"fewer than {FEWEST} entries")
    points = _directions(np.asarray(embeddings, dtype=np.float64))
    if np.ptp(points, axis=0).max() < 1e-9:
        return Themes(why="all entries are alike")
    labels, silhouette = _best(points)
    if labels is None or silhouette < LEAST_SILHOUETTE:
        return Themes(silhouette=silhouette, why="the entries form no groups that are clearly apart")
    p = _chance(points, silhouette)
    if p > 1 / (SAMPLES + 1):
        return Themes(silhouette=silhouette, p=p, why="groups as clear as these come by chance")
    return Themes(_described(points, labels, texts), silhouette, p)


def theme_tests(journal: Journal, themes: Themes) -> list[Tested]:
    """For each theme: is the feeling of its entries another than that of the rest? (Mann and Whitney, daily means)"""
    if journal.feeling is None:
        return []
    name, values = journal.feeling
    tests = (_tested(journal, theme, name, values) for theme in themes.themes)
    return [test for test in tests if test is not None]


def _directions(embeddings: Floats) -> Floats:
    from sklearn.preprocessing import normalize

    points: Floats = normalize(embeddings)
    return points


def _best(points: Floats) -> tuple[NDArray[np.int64] | None, float]:
    """The partition with the largest mean silhouette of those whose groups have three entries or 5 % each."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist, squareform
    from sklearn.metrics import silhouette_score

    condensed = pdist(points)
    # Between directions half the squared distance is the cosine distance.
    tree, distances = linkage(condensed, "ward"), squareform(condensed**2 / 2)
    smallest = max(3, -(-len(points) // 20))
    best: tuple[NDArray[np.int64] | None, float] = (None, -1.0)
    for count in range(2, MOST_THEMES + 1):
        labels = fcluster(tree, count, "maxclust")
        sizes = np.bincount(labels)[1:]
        if len(sizes) < 2 or sizes.min() < smallest:
            continue
        silhouette = float(silhouette_score(distances, labels, metric="precomputed"))
        if silhouette > best[1]:
            best = (labels, silhouette)
    return best


def _chance(points: Floats, silhouette: float) -> float:
    """Share of samples without any groups that do as well; one that does ends the count, because none may."""
    random = np.random.default_rng(0)
    centre, count = points.mean(axis=0), len(points)
    _, lengths, axes = np.linalg.svd((points - centre) / np.sqrt(count - 1), full_matrices=False)
    for number in range(SAMPLES):
        sample = _directions(centre + random.standard_normal((count, len(lengths))) * lengths @ axes)
        if _best(sample)[1] >= silhouette:
            return 2 / (number + 2)
    return 1 / (SAMPLES + 1)


def _described(points: Floats, labels: NDArray[np.int64], texts: Sequence[str]) -> list[Theme]:
    from sklearn.metrics import silhouette_samples

    each = silhouette_samples(points, labels, metric="cosine")
    groups = sorted((np.flatnonzero(labels == label) for label in np.unique(labels)), key=len, reverse=True)
    terms = _terms(groups, texts)
    themes = []
    for rows, words in zip(groups, terms, strict=True):
        distance = np.linalg.norm(points[rows] - points[rows].mean(axis=0), axis=1)
        themes.append(Theme(rows, rows[np.argsort(distance, kind="stable")[:3]], float(each[rows].mean()), words))
    return themes


def _terms(groups: Sequence[NDArray[np.int64]], texts: Sequence[str]) -> list[list[str]]:
    """Words of two entries or more that a theme's entries have rather than the others' (mean tf-idf less the rest's)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english", min_df=2, token_pattern=_WORD, sublinear_tf=True)
    try:
        matrix = vectorizer.fit_transform(texts)
    except ValueError:  # no word is in two entries
        return [[] for _ in groups]
    words, total = vectorizer.get_feature_names_out(), np.asarray(matrix.sum(axis=0)).ravel()
    found = []
    for rows in groups:
        own = np.asarray(matrix[rows].sum(axis=0)).ravel()
        score = own / len(rows) - (total - own) / max(1, len(texts) - len(rows))
        found.append([str(words[i]) for i in np.argsort(-score, kind="stable")[:TERMS] if score[i] > 0])
    return found


def told(journal: Journal, themes: Themes) -> list[Finding]:
    """Each theme as a finding; its p value is that of there being themes at all."""
    return [
        Finding(
            f"A theme: {', '.join(theme.terms[:3])}" if theme.terms else "A theme",
            f"{len(theme.rows)} of {len(journal)} entries are about the same things.",
            Effect("silhouette", theme.silhouette),
            journal.ids(theme.rows),
            {
                "terms": list(theme.terms),
                "typical_entries": journal.ids(theme.typical),
                "share": len(theme.rows) / len(journal),
                "mean_silhouette": themes.silhouette,
                "themes": len(themes.themes),
            },
        )
        for theme in themes.themes
    ]


def _tested(journal: Journal, theme: Theme, name: str, values: Floats) -> Tested | None:
    from scipy.stats import mannwhitneyu

    inside = np.isin(np.arange(len(journal)), theme.rows)
    # A day that has entries of both is once among each: they go together, which makes them more alike and never less.
    own, rest = (means(journal.dates[where], values[where])[1] for where in (inside, ~inside))
    if min(len(own), len(rest)) < 5 or alike(np.concatenate([own, rest])):
        return None
    found = mannwhitneyu(own, rest)
    # Rank-biserial: how much more often the theme's day has the higher value than the lower one.
    strength = float(2 * found.statistic / (len(own) * len(rest)) - 1)
    # A few very dark days among many brighter ones: ranks and means disagree, and neither word would be true.
    p = float(found.pvalue) if strength * (own.mean() - rest.mean()) > 0 else 1.0
    terms = ", ".join(theme.terms[:3]) or "of this theme"

    def tell() -> Finding:
        brighter = strength > 0
        return Finding(
            f"Entries about {terms} are {'brighter' if brighter else 'darker'} than the others",
            f"Their {name} is {own.mean():.2f} on average, that of the others {rest.mean():.2f}.",
            Effect("rank_biserial", strength),
            journal.ids(theme.rows),
            {"measure": name, "terms": list(theme.terms), "mean": float(own.mean()), "others": float(rest.mean())},
            () if brighter else (f"Talk with somebody about {terms}.",),
        )

    return Tested("theme", "Mann-Whitney, daily means", p, tell)
