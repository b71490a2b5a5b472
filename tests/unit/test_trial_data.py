"""Files that accuracy is measured with: what is read, and what a wrong line is told."""

import pytest

from deployments.accuracy import label_agreement, rank_correlation
from deployments.errors import UnusableData
from deployments.trial_data import FEWEST, RatedPairs, read_pairs, read_texts
from deployments.trial_speed import mixed_texts, short_text, speed_ratio

GOOD = [f"first text {n},second text {n},{n % 5}.5" for n in range(FEWEST)]
SECRET = "the patient said"


def written(path, lines):
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


def test_pairs_are_read_with_quotes_blank_lines_and_a_byte_order_mark(tmp_path):
    lines = ["\ufeff" + '"a, ""b""",c,1', "", *GOOD, '"over\ntwo lines",d,2.5', ""]
    pairs = read_pairs(written(tmp_path / "pairs.csv", lines))
    assert (pairs.first[0], pairs.second[0], pairs.scores[0]) == ('a, "b"', "c", 1.0)
    assert (pairs.first[-1], pairs.scores[-1]) == ("over\ntwo lines", 2.5)
    assert len(pairs.scores) == FEWEST + 2
    assert pairs.texts == [*pairs.first, *pairs.second]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"{SECRET},1.0", "line 3: it has 2 columns instead of 3"),
        (f"{SECRET}, it, hurts,1.0", "line 3: it has 4 columns instead of 3"),
        (f"{SECRET},  ,1.0", "line 3, column 2 (second text): it is empty"),
        (f",{SECRET},1.0", "line 3, column 1 (first text): it is empty"),
        (f"{SECRET},{SECRET},", "line 3, column 3 (score): it is empty"),
        (f"{SECRET},it hurts,{SECRET}", "line 3, column 3 (score): it is not a number"),
        (f"{SECRET},it hurts,nan", "line 3, column 3 (score): it is not a number"),
        (f'"{SECRET}" hurts,x,1', "line 3: it is not CSV"),
        (f"{SECRET} \udcff".encode("utf-8", "surrogateescape") + b",x,1", "line 3: it is not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(tmp_path, line, told):
    path = written(tmp_path / "pairs.csv", [*GOOD[:2], line, *GOOD[2:]])
    with pytest.raises(UnusableData) as refused:
        read_pairs(path)
    assert told in str(refused.value)
    assert str(path) in str(refused.value)
    assert SECRET not in str(refused.value)


def test_what_cannot_judge_anything_is_refused(tmp_path):
    with pytest.raises(UnusableData, match=f"{FEWEST - 1} pairs; at least {FEWEST}"):
        read_pairs(written(tmp_path / "few.csv", GOOD[1:]))
    with pytest.raises(UnusableData, match="all scores are equal"):
        read_pairs(written(tmp_path / "flat.csv", [f"a {n},b {n},3" for n in range(FEWEST)]))
    with pytest.raises(UnusableData, match="cannot be read: No such file"):
        read_pairs(tmp_path / "missing.csv")
    with pytest.raises(UnusableData, match="cannot be read"):
        read_texts(tmp_path)
    with pytest.raises(UnusableData, match=f"3 texts; at least {FEWEST}"):
        read_texts(written(tmp_path / "few.txt", ["a", "", "b", "  ", "c"]))


def test_texts_are_lines(tmp_path):
    lines = [f" text, number {n} \r" for n in range(FEWEST)]
    assert read_texts(written(tmp_path / "texts.txt", ["", *lines]))[:2] == ["text, number 0", "text, number 1"]


def test_rank_correlation_sees_a_changed_order():
    """Vectors by name; the reference order is that of the scores."""
    import numpy as np

    pairs = RatedPairs(["a"] * 3, ["near", "middle", "far"], [3, 2, 1])
    good = {"a": (1, 0), "near": (1, 0.1), "middle": (1, 1), "far": (-1, 1)}
    swapped = {**good, "near": good["middle"], "middle": good["near"]}

    def engine(vectors):
        return lambda texts: np.array([vectors[text] for text in texts], dtype=np.float32)

    same = rank_correlation(pairs, engine(good), engine(good))
    assert (same.before, same.after, same.drop_points, same.passed) == (1.0, 1.0, 0.0, True)
    assert same.mean_cosine == pytest.approx(1)
    worse = rank_correlation(pairs, engine(good), engine(swapped))
    assert worse.after == pytest.approx(0.5)
    assert worse.drop_points == pytest.approx(50)
    assert not worse.passed
    assert worse.mean_cosine < 1


def test_agreement_counts_equal_choices():
    import numpy as np

    inputs = list(range(200))
    before = np.tile([0.6, 0.4, 0.0], (200, 1))
    after = before.copy()
    after[:2] = [0.4, 0.6, 0.0]
    found = label_agreement(inputs, lambda _: before, lambda _: after)
    assert (found.before, found.after, found.items) == (1.0, 0.99, 200)
    assert found.passed, "99 of 100 are enough"
    after[2] = [0.4, 0.6, 0.0]
    assert not label_agreement(inputs, lambda _: before, lambda _: after).passed
    # Of several labels the whole set must be equal: here the second is chosen twice more, the first twice less.
    assert label_agreement(inputs, lambda _: before, lambda _: after, several=True).after == 0.985
    assert label_agreement(inputs, lambda _: before, lambda _: after * 2, several=True).after == 0.0


def test_speed_is_the_ratio_of_their_times(monkeypatch):
    clock = iter(x for n in range(1000) for x in (10.0 * n, 10.0 * n + (3.0 if n % 2 == 0 else 1.5)))
    monkeypatch.setattr("deployments.trial_speed.time.perf_counter", lambda: next(clock))
    calls = []
    assert speed_ratio(lambda texts: calls.append("exact"), lambda texts: calls.append("eight"), ["a"], passes=2) == 2.0
    assert calls[:4] == ["exact", "exact", "eight", "eight"]


def test_texts_for_speed_are_made_of_the_users_words():
    texts = ["one two three", "four five six seven"]
    (short,) = short_text(texts)
    assert short == "one two three four five six seven one two three"
    sizes = sorted(len(text.split()) for text in mixed_texts(texts))
    assert len(sizes) == 64
    assert sizes[31] <= 40 <= sizes[32]
    assert sizes[0] < 10 < 200 < sizes[-1]
