"""Which key may use which path, and, without keys, which host names and web pages are answered.

Everything is closed unless it is named here: a route that nobody thought of needs a key with the scope ``infer``.
"""

from urllib.parse import urlsplit

from serve_app.api.exchange import Exchange
from serve_app.auth import ANYONE, Identity, KeyRing
from serve_app.errors import Forbidden, OriginRefused
from serve_app.settings import Settings, is_loopback

OPEN = frozenset({"/health", "/v2/health/live"})
ANY_KEY = frozenset({"/docs", "/openapi.json", "/readiness", "/health/detailed", "/v2/health/ready"})
WEIGHTS = "/api/v1/fusion/weights"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def scope_for(path: str, method: str = "GET") -> str | None:
    """The scope that a request needs; None when any valid key will do. Changing what scores mean needs ``admin``."""
    if path in ANY_KEY:
        return None
    if path.startswith(WEIGHTS) and (method not in ("GET", "HEAD", "OPTIONS") or path == f"{WEIGHTS}/history"):
        return "admin"
    return "metrics" if path == "/metrics" else "infer"


def admit(path: str, method: str, exchange: Exchange, keys: KeyRing, settings: Settings) -> Identity:
    """Who sends this request. Raises ``Unauthenticated``, ``Forbidden`` or ``OriginRefused``."""
    if path in OPEN:
        return ANYONE
    if not keys.configured:
        _check_host(exchange.headers.get("host", ""), settings)
        _check_origin(exchange.headers.get("origin"), exchange.headers.get("host", ""), settings)
        return ANYONE
    identity = keys.identify(exchange.headers.get("authorization"))
    needed = scope_for(path, method)
    if not identity.may(needed):
        raise Forbidden(f"This key has not got the scope {needed}.")
    return identity


def _check_host(host: str, settings: Settings) -> None:
    """Refuse names that some other machine's DNS may have pointed here."""
    name = _host_name(host)
    if not is_loopback(name) and name not in {allowed.lower() for allowed in settings.allowed_hosts}:
        raise OriginRefused("This server answers only to its own host names; add yours to MUSTER_ALLOWED_HOSTS.")


def _host_name(host: str) -> str:
    """``name`` of ``name:port`` or ``[address]:port``, lower case; empty when it is neither."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _check_origin(origin: str | None, host: str, settings: Settings) -> None:
    """Refuse requests that another web page made a browser send."""
    if origin is None or origin in settings.allowed_origins:
        return
    scheme, _, place = origin.lower().partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    if default is None or place.removesuffix(default) != host.lower().removesuffix(default):
        raise OriginRefused("Web pages of other origins may not use this server; see MUSTER_ALLOWED_ORIGINS.")
