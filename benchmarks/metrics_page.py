"""``/metrics`` as a client reads it: values by name and labels."""

import re
import urllib.request

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([0-9.e+-]+)$", re.MULTILINE)


def read(port: int) -> "MetricsPage":
    """The page, whichever gateway answers: it has everybody's numbers, those of the others at most two seconds old."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return MetricsPage(answer.read().decode())


class MetricsPage:
    """``total`` sums the samples of a name whose labels are as asked."""

    def __init__(self, text: str) -> None:
        self._samples = [(name, labels or "", float(value)) for name, labels, value in _SAMPLE.findall(text)]

    def __contains__(self, name: str) -> bool:
        return any(found == name for found, _, _ in self._samples)

    def total(self, name: str, **labels: str) -> float:
        """A label's value may be a beginning: ``status="5"`` is every 5xx."""
        wanted = [f'{label}="{value}' for label, value in labels.items()]
        return sum(
            value for found, text, value in self._samples if found == name and all(part in text for part in wanted)
        )
