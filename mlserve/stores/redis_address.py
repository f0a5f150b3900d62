"""``redis://user:password@host:6379/0``, ``rediss://`` for TLS, ``unix:///path?db=0``: where a server is found.

User and password, port and database may be left out. What follows ``?`` is named as redis-py names it; what redis-py
would take and this does not know is refused, for a setting that does nothing misleads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_tls import Tls

DEFAULT_PORT: Final = 6379
EXPECTED: Final = "expected redis://user:password@host:6379/0, rediss://… for TLS, or unix:///path?db=0"
ESCAPED: Final = "in a user or password, write / as %2F, ? as %3F, # as %23, @ as %40, % as %25"
TLS_QUERY: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """Without a ``username`` it is the server's default user."""

    username: str | None
    password: str


@dataclass(frozen=True, slots=True)
class Address:
    """``path`` for a Unix socket, else ``host`` and ``port``. ``str()`` and ``repr()`` of it show no secrets."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str | None = None
    db: int = 0
    login: Login | None = field(default=None, repr=False)
    tls: Tls | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """The address in ``url``. Raises :class:`StoreFault`, never with what may be a password in its text."""
    try:
        parts = urlsplit(url)
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError:
        # The text of this error quotes what stands where a port should be, which may be half a password.
        raise StoreFault(f"the URL of a Redis connection cannot be read: {EXPECTED}; {ESCAPED}") from None
    if "@" in parts.path + parts.query or parts.fragment:
        raise StoreFault(f"the URL of a Redis connection has @ or # at a wrong place: {EXPECTED}; {ESCAPED}")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if username and not password:
        raise StoreFault(f"the URL of a Redis connection has a user without a password: {EXPECTED}")
    query = _query(parts.query, TLS_QUERY if parts.scheme == "rediss" else ())
    login = Login(username or None, password) if password else None
    if parts.scheme == "unix":
        path = unquote(parts.path)
        if host or port or not path.strip("/") or "\0" in path:
            raise StoreFault(f"{EXPECTED}: after unix:// comes the whole path of a socket")
        return Address(path=path, db=_db(query.get("db", "")), login=login)
    if not _is_host(host) or port == 0:
        raise StoreFault(f"the URL of a Redis connection names no host, or port 0: {EXPECTED}")
    in_path = parts.path.strip("/")
    if in_path and "db" in query:
        raise StoreFault("the URL of a Redis connection names a database twice, after / and as db=: give one")
    db, tls = _db(in_path or query.get("db", "")), _tls(query) if parts.scheme == "rediss" else None
    return Address(host, DEFAULT_PORT if port is None else port, db=db, tls=tls, login=login)


def _is_host(host: str) -> bool:
    try:
        return host.encode("idna") != b"" and host.isprintable()
    except UnicodeError:
        return False


def _query(text: str, known: tuple[str, ...]) -> Mapping[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name in ("username", "password"):
            raise StoreFault(f"{name}= has no place in the URL of a Redis connection: {EXPECTED}")
        if name not in ("db", *known):
            there = ", ".join(("db", *known))
            more = "" if known else f" (with rediss:// also {', '.join(TLS_QUERY)})"
            raise StoreFault(
                f"{name}= means nothing in the URL of a Redis connection; there is {there}{more}. "
                "Times are the connection's Timeout"
            )
        query[name] = value
    return query


def _db(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise StoreFault(f"the URL of a Redis connection names no number of a database after / or db=: {EXPECTED}")
    return int(text or 0)


def _tls(query: Mapping[str, str]) -> Tls:
    requirement = query.get("ssl_cert_reqs", "required")
    if requirement not in ("required", "none"):
        raise StoreFault(f"ssl_cert_reqs={requirement}: expected required or none")
    truth = query.get("ssl_check_hostname", "true").lower()
    if truth not in _TRUTH:
        raise StoreFault(f"ssl_check_hostname={truth}: expected true or false")
    certfile, keyfile = query.get("ssl_certfile"), query.get("ssl_keyfile")
    if keyfile and not certfile:
        raise StoreFault("ssl_keyfile= needs ssl_certfile=, the certificate that belongs to it")
    return Tls(query.get("ssl_ca_certs"), certfile, keyfile, requirement == "required", _TRUTH[truth])
