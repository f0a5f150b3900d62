"""What an operator sees who got the configuration wrong: the place and the remedy, never the password."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlserve.contracts.store import StoreOptions
from mlserve.stores.redis import RedisStore
from tests.support.certificate import self_signed
from tests.support.redis_double import redis_double
from tests.support.redis_server import RedisServer, redis_server
from tests.support.redis_stores import PATIENCE_S, opened, says, unopened

SECRET = "hunter2"


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """One that wants a password."""
    with redis_server(password=SECRET + "!") as server:
        yield server


@pytest.mark.parametrize(
    ("login", "text"),
    [("", "wants a password"), (f":{SECRET}@", "does not take"), (f"user:{SECRET}@", "does not take")],
)
async def test_wrong_password(guarded: RedisServer, login: str, text: str) -> None:
    """None, a wrong one, an unknown user."""
    said = await unopened(f"redis://{login}127.0.0.1:{guarded.port}/0")
    assert text in said
    assert SECRET not in said


async def test_wrong_database(guarded: RedisServer) -> None:
    """Its number is one too many."""
    assert "no database of this number" in await unopened(guarded.url.removesuffix("0") + "16")


async def test_nobody_listens() -> None:
    """The host and port are named."""
    assert "no connection to 127.0.0.1:1: nobody listens there" in await unopened("redis://127.0.0.1:1/0")
    assert "/no/such.sock: there is no such socket" in await unopened("unix:///no/such.sock")


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is what is wrong, so the name is told."""

    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "the name cache.internal does not resolve" in await unopened(f"redis://u:{SECRET}@cache.internal:6379/0")


async def test_a_server_of_another_kind() -> None:
    """An HTTP port answers in HTTP."""
    async with redis_double(lambda command: b"HTTP/1.1 400 Bad Request\r\n\r\n") as double:
        assert "no Redis server" in await unopened(double.url)


async def test_another_reply_than_values() -> None:
    """A proxy that answers something else is not believed."""
    async with redis_double(lambda command: b"+OK\r\n") as double:
        assert "not 1 values" in await unopened(double.url)


async def test_a_frozen_server() -> None:
    """The kernel takes its connections; the deadline is ours all the same, and no caller is needed for it."""
    async with redis_double(lambda command: b"") as double:
        said = await unopened(double.url.replace("/0", "/1"), connect_timeout_s=0.05)
        assert "no answer in 0.05 s" in said
        async with asyncio.timeout(PATIENCE_S):
            store = RedisStore(StoreOptions(double.url, connect_timeout_s=0.05, read_timeout_s=0.01))
            assert "no answer in 1.06 s" in await says(store.open())
            await store.close()


async def test_tls(tmp_path: Path) -> None:
    """Who is not trusted, who has another name, who speaks no TLS; and TLS where none is expected."""
    with redis_server(tls=True) as secure, redis_server() as plain:
        bare = f"rediss://127.0.0.1:{secure.port}/0"
        other = self_signed(tmp_path)
        assert "not trusted" in await unopened(bare)
        assert "not trusted" in await unopened(f"{bare}?ssl_ca_certs={other.cert}")
        assert "ssl_ca_certs=/no/file" in await unopened(f"{bare}?ssl_ca_certs=/no/file")
        assert "not trusted" in await unopened(secure.url.replace("127.0.0.1", "localhost"))
        assert "without TLS is redis://" in await unopened(f"rediss://127.0.0.1:{plain.port}/0", 0.2)
        assert re.search("broke|closed", await unopened(f"redis://127.0.0.1:{secure.port}/0"))
        for relaxed in (
            f"{bare}?ssl_cert_reqs=none",
            secure.url.replace("127.0.0.1", "localhost") + "&ssl_check_hostname=false",
        ):
            async with opened(relaxed) as (store, _):
                await store.check()


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that installs it is told."""
    monkeypatch.setitem(sys.modules, "hiredis", None)
    assert "pip install 'mlserve[redis]'" in await unopened("redis://127.0.0.1:1")


async def test_closed_while_it_opens(guarded: RedisServer) -> None:
    """Whoever opens it is told, and no connection outlives the end."""
    clients = guarded.client.info("clients")["connected_clients"]
    store = RedisStore(StoreOptions(guarded.url))
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    await store.close()
    assert "closed" in await says(opening)
    assert guarded.client.info("clients")["connected_clients"] == clients
