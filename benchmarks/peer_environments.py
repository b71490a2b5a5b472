"""The peers' own Python environments: pinned, made once, kept outside the checkout."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("peer-requirements")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")


def default_folder() -> Path:
    """In the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster-peers"


def read_pins(path: Path) -> dict[str, str]:
    """Versions by package. Raises ``ValueError`` for a line that pins nothing, or a package that is pinned twice."""
    pins: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pin = _PIN.fullmatch(line)
        if pin is None or pin[1].lower() in pins:
            raise ValueError(f"{path.name}: {line!r} is no pin, or a second one")
        pins[pin[1].lower()] = pin[2]
    return pins


def environment(name: str, folder: Path) -> Path:
    """The ``bin`` folder of the environment with the packages of ``peer-requirements/<name>.txt``; made when it is
    missing or was made from other pins. Raises ``subprocess.CalledProcessError``."""
    pins, home = read_pins(REQUIREMENTS / f"{name}.txt"), folder / name
    made_from = hashlib.sha256(repr(sorted(pins.items())).encode() + sys.version.encode()).hexdigest()
    stamp = home / "made-from"
    if not stamp.is_file() or stamp.read_text() != made_from:
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        # torch brings packages that depend on its build; all others are listed.
        torch = f"torch=={pins.pop('torch')}"
        _install(home, "--no-deps", *(f"{package}=={pinned}" for package, pinned in pins.items()))
        _install(home, torch)
        stamp.write_text(made_from)
    return home / "bin"


def _install(home: Path, *arguments: str) -> None:
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *arguments], check=True, stdout=sys.stderr)
