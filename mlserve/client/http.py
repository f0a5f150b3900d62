"""The transport that speaks HTTP/1.1, on aiohttp."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from mlserve.client.address import without_secrets
from mlserve.client.transport import HttpAnswer
from mlserve.errors import BadAnswer, ClientError, Interrupted, Unreachable

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""A server's fault must not fill the client's memory."""
CONNECT_TIMEOUT_S: Final = 2.0
"""A host that swallows packets must not take the time in which another would answer."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class HttpTransport:
    """Implements :class:`~mlserve.client.transport.Transport` for the server at ``url`` (checked by ``server_url``).

    Keeps up to ``connections`` open. Follows no redirect, reads no proxy from the environment, asks for no compression:
    what it is told is what it does.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 8,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._url = url
        self._place = without_secrets(url)
        self._connections = connections
        self._connect_timeout_s = connect_timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        return await self._request("POST", path, body, headers)

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        return await self._request("GET", path, None, headers)

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> HttpAnswer:
        if self._closed:
            raise ClientError("the client is closed: make a new one")
        if self._session is None:
            self._session = _session(self._connections, self._connect_timeout_s)
        try:
            url = URL(self._url + path, encoded=True)
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await self._content(response)
                return HttpAnswer(response.status, response.reason or "", response.headers, content)
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(f"no connection to {self._place} within {self._connect_timeout_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"no connection to {self._place}: {_cause(error)}") from error
        except aiohttp.ClientResponseError as error:
            raise BadAnswer(f"what {self._place} answered is not HTTP: {error.message}") from error
        except ValueError as error:
            raise Unreachable(f"no connection to {self._place}: it is no valid URL") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Interrupted(f"{self._place} closed the connection before its answer was whole") from error

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > self._max_answer_bytes:
                response.close()
                raise BadAnswer(f"the answer of {self._place} is longer than {self._max_answer_bytes} bytes")
        # mly's dictionaries are compressed, asked for or not.
        return self._unzipped(content) if response.headers.get("Content-Encoding") == "gzip" else bytes(content)

    def _unzipped(self, content: bytearray) -> bytes:
        unzip = zlib.decompressobj(_GZIP)
        try:
            plain = unzip.decompress(content, self._max_answer_bytes)
        except zlib.error as error:
            raise BadAnswer(f"what {self._place} answered is not gzip, as it says: {error}") from error
        if not unzip.eof:
            raise BadAnswer(f"the answer of {self._place} is cut short, or longer than {self._max_answer_bytes} bytes")
        return plain


def _session(connections: int, connect_timeout_s: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        # The caller's deadline covers all the rest.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
        headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _cause(error: aiohttp.ClientConnectorError) -> str:
    """``connection refused``, without the address that stands in the text already."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    text = error.os_error.strerror or str(error.os_error)
    return "connection refused" if isinstance(error.os_error, ConnectionRefusedError) else text
