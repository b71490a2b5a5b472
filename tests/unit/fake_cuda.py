"""CUDA as the engines ask for it, without any: a device of some size that remembers what it was told."""


class FakeCuda:
    """``free`` and ``total`` in bytes; ``trouble``: why there is no device."""

    def __init__(self, free=8 * 2**30, total=8 * 2**30, trouble=None, name="Fake GPU", flash=True):
        self.free, self.total, self.trouble = free, total, trouble
        self._name, self._flash = name, flash
        self.caps = []

    def problem(self):
        return self.trouble

    def memory(self):
        return self.free, self.total

    def name(self):
        return self._name

    def flash(self):
        return self._flash

    def cap(self, fraction):
        assert 0 < fraction <= 1
        self.caps.append(fraction)
