"""CUDA as the engines ask for it, without any: a device of some size that remembers what it was told."""


class FakeCuda:
    """``free`` and ``total`` in bytes; ``trouble``: why there is no device."""

    def __init__(self, free=8 * 2**30, total=8 * 2**30, trouble=None):
        self.free, self.total, self.trouble = free, total, trouble
        self.caps = []

    def problem(self):
        return self.trouble

    def memory(self):
        return self.free, self.total

    def cap(self, fraction):
        assert 0 < fraction <= 1
        self.caps.append(fraction)
