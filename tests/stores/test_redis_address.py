"""How URLs of Redis connections are read."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_address import Address, Login, parse
from mlserve.stores.redis_tls import Tls

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address("h", 6379)),
        ("redis://h/", Address("h", 6379)),
        ("redis://h:7000/3", Address("h", 7000, db=3)),
        ("redis://h?db=3", Address("h", db=3)),
        ("redis://[::1]:7000/3", Address("::1", 7000, db=3)),
        ("redis://:p%2Fw@h", Address("h", login=Login(None, "p/w"))),
        ("redis://u:p%40w@h:1/2", Address("h", 1, db=2, login=Login("u", "p@w"))),
        ("rediss://h:7000/1", Address("h", 7000, db=1, tls=Tls())),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("unix:///run/redis%20a.sock?db=2", Address(path="/run/redis a.sock", db=2)),
        ("unix://u:p@/run/redis.sock", Address(path="/run/redis.sock", login=Login("u", "p"))),
    ],
)
def test_is_read(url: str, address: Address) -> None:
    """What stands in the configuration is what is connected to."""
    assert parse(url) == address


def test_tls_is_verified_unless_told_otherwise() -> None:
    """Nobody loses verification by not asking for it."""
    assert parse("rediss://h").tls == Tls(verify=True, check_hostname=True)
    relaxed = parse("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ca_certs=/ca&ssl_certfile=/c").tls
    assert relaxed == Tls("/ca", "/c", None, verify=False, check_hostname=False)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://a..b", "names no host"),
        ("redis://h%00", "names no host"),
        ("redis://h:0", "names no host, or port 0"),
        ("redis://h:99999", "cannot be read"),
        ("redis://[::1", "cannot be read"),
        ("redis://h/x", "no number of a database"),
        ("redis://h/-1", "no number of a database"),
        ("redis://h/1/2", "no number of a database"),
        ("redis://h/1?db=2", "names a database twice"),
        ("redis://user@h", "a user without a password"),
        ("redis://h?socket_timeout=1", "socket_timeout= means nothing"),
        ("redis://h?ssl_ca_certs=/x", "with rediss:// also ssl_ca_certs"),
        ("redis://h?password=x", "password= has no place"),
        ("rediss://h?ssl_cert_reqs=optional", "expected required or none"),
        ("rediss://h?ssl_check_hostname=2", "expected true or false"),
        ("rediss://h?ssl_keyfile=/k", "needs ssl_certfile="),
        ("unix://", "the whole path of a socket"),
        ("unix://host/path", "the whole path of a socket"),
        ("unix:///a%00b", "the whole path of a socket"),
    ],
)
def test_is_refused(url: str, says: str) -> None:
    """A setting that would do nothing is told, with what to write instead."""
    with pytest.raises(StoreFault, match=says):
        parse(url)


@pytest.mark.parametrize("sign", "/?#@:[]% ")
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_password_that_was_not_escaped_is_not_shown(scheme: str, sign: str) -> None:
    """Wherever it ends up in the URL's parts, it does not end up in a log."""
    for url in f"{scheme}://:{SECRET}{sign}{SECRET}@h:1/0", f"{scheme}://{SECRET}:{SECRET}{sign}{SECRET}@h/0":
        try:
            shown = f"{parse(url)} {parse(url)!r}"
        except StoreFault as error:
            shown = f"{error} {error.__cause__}"
        assert SECRET not in shown


@given(user=st.none() | st.text(min_size=1), password=st.text(min_size=1), db=st.integers(0, 99999))
def test_any_login_comes_back(user: str | None, password: str, db: int) -> None:
    """Escaped, any user and password mean themselves."""
    url = f"redis://{quote(user or '', safe='')}:{quote(password, safe='')}@host:7000/{db}"
    assert parse(url) == Address("host", 7000, db=db, login=Login(user, password))


@pytest.mark.parametrize(
    ("url", "shown"),
    [("redis://u:p@h:1/2", "h:1"), ("rediss://[::1]", "[::1]:6379"), ("unix:///run/redis.sock", "/run/redis.sock")],
)
def test_is_shown(url: str, shown: str) -> None:
    """An error names the place as an operator would."""
    assert str(parse(url)) == shown
