"""The crisis check on a labelled set of our own: recall and precision, and each kind of disguise."""

from pathlib import Path

import yaml

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


if __name__ == "__main__":
    for part in ("tuned", "first_run", "second_run", "third_run", "fourth_run", None):
        print(part, figures(part))
    for part, label, text in PHRASES:
        found = check(text)
        if found.outcome != label:
            print(f"{part:9} {label:8} -> {found.outcome:8} {found.indicators} {text}")
