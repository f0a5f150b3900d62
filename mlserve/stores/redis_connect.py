"""From an address to a link that may be used: connected, encrypted, logged in, in its database."""

from __future__ import annotations

import asyncio
import ssl

from hiredis import ReplyError

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_address import Address
from mlserve.stores.redis_faults import failed, unreachable
from mlserve.stores.redis_link import Link, packed


async def connect(address: Address, context: ssl.SSLContext | None, timeout_s: float) -> Link:
    """Raises :class:`StoreFault` after ``timeout_s`` at the latest, with no secret in its text."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _connect(address, context, timeout_s)
    except TimeoutError:
        # A server without TLS waits for the rest of what looks like a command.
        hint = "; a server without TLS is redis://" if context else ""
        raise StoreFault(f"no connection to {address}: no answer in {timeout_s:g} s{hint}") from None
    except OSError as error:
        raise unreachable(address, error) from error


async def _connect(address: Address, context: ssl.SSLContext | None, timeout_s: float) -> Link:
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, link = await loop.create_unix_connection(Link, address.path)
    else:
        _, link = await loop.create_connection(Link, address.host, address.port)
    try:
        if context is not None:
            await link.encrypt(context, address.host)
        await _greet(link, address, timeout_s)
    except BaseException:
        link.abort()
        raise
    return link


async def _greet(link: Link, address: Address, timeout_s: float) -> None:
    greetings: list[bytes] = []
    if (login := address.login) is not None:
        user = () if login.username is None else (login.username,)
        greetings.append(packed("AUTH", *user, login.password))
    if address.db:
        greetings.append(packed("SELECT", address.db))
    if not greetings:
        return
    try:
        for reply in await link.exchange(b"".join(greetings), len(greetings), timeout_s):
            if isinstance(reply, ReplyError):
                raise failed(str(reply))
    except StoreFault as error:
        # What does not know AUTH may quote all of it.
        raise StoreFault(str(error).replace(login.password, "***") if login else str(error)) from None
