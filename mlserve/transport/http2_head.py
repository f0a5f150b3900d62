"""From the decoded fields of an HTTP/2 request to what it asks for: RFC 9113, section 8, and the rules of HTTP/1.1.

Pure. A request that is *malformed* (section 8.1.1) ends its stream; one that is well-formed and not to be served is
answered as HTTP/1.1 answers it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from multidict import CIMultiDict

from mlserve.errors import BadRequest, RequestError
from mlserve.transport.head import (
    Head,
    bounded_length,
    check_host,
    check_method,
    expects_continue,
    header_too_large,
    is_length,
    split_target,
)
from mlserve.transport.http2_frames import Code, StreamFault

Fields = Sequence[tuple[bytes, bytes]]

_NAME: Final = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(rb"(?![ \t])[^\x00-\x08\x0a-\x1f\x7f]*(?<![ \t])")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
_OF_A_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_FIELD_OVERHEAD: Final = len(": \r\n")


class Refused(Exception):
    """A well-formed request that gets ``error`` for an answer, without a body if it was a HEAD."""

    def __init__(self, error: RequestError, *, head_only: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.head_only = head_only


def read_fields(fields: Fields, *, max_header_bytes: int, max_body_bytes: int) -> Head:
    """What ``fields`` ask for.

    Raises :class:`StreamFault` for a malformed request, :class:`Refused` for one that HTTP/1.1 would refuse too.
    """
    pseudo, headers = _split(fields)
    method = pseudo.get(b":method", b"").decode("latin-1")
    if not method or (method != "CONNECT" and not (pseudo.get(b":scheme") and pseudo.get(b":path"))):
        raise StreamFault(Code.PROTOCOL_ERROR)
    lengths = set(headers.getall("content-length", ()))
    if len(lengths) > 1 or not all(map(is_length, lengths)):
        raise StreamFault(Code.PROTOCOL_ERROR)
    authority = pseudo.get(b":authority")
    if authority is not None:
        _name_host(headers, authority.decode("latin-1"))
    try:
        if sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in fields) > max_header_bytes:
            raise header_too_large(max_header_bytes)
        check_method(method)
        check_host(headers.getall("host", ()), required=True)
        length = bounded_length(lengths.pop(), max_body_bytes) if lengths else 0
        expects = expects_continue(headers)
        path, query = _target(method, pseudo[b":path"])
        return Head(method, path, query, headers, length, True, False, expects)
    except RequestError as error:
        raise Refused(error, head_only=method == "HEAD") from error


def check_trailers(fields: Fields) -> None:
    """Raises :class:`StreamFault` if ``fields`` cannot stand behind a body. What they say is not used."""
    if any(not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) for name, value in fields):
        raise StreamFault(Code.PROTOCOL_ERROR)


def _split(fields: Fields) -> tuple[dict[bytes, bytes], CIMultiDict[str]]:
    """Pseudo-header fields and headers, each field checked by itself."""
    pseudo: dict[bytes, bytes] = {}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in fields:
        if not _VALUE.fullmatch(value):
            raise StreamFault(Code.PROTOCOL_ERROR)
        if name.startswith(b":"):
            if name not in _PSEUDO or name in pseudo or headers:
                raise StreamFault(Code.PROTOCOL_ERROR)
            pseudo[name] = value
        elif not _NAME.fullmatch(name) or name in _OF_A_CONNECTION or (name == b"te" and value != b"trailers"):
            raise StreamFault(Code.PROTOCOL_ERROR)
        else:
            # As aiohttp's parser does: bytes that are not UTF-8 ride along.
            headers.add(name.decode("ascii"), value.decode("utf-8", "surrogateescape"))
    return pseudo, headers


def _name_host(headers: CIMultiDict[str], authority: str) -> None:
    """``:authority`` is what HTTP/1.1 calls Host; a request that has both must mean the same (section 8.3.1)."""
    hosts = headers.getall("host", ())
    if any(host != authority for host in hosts):
        raise StreamFault(Code.PROTOCOL_ERROR)
    headers["host"] = authority


def _target(method: str, target: bytes) -> tuple[str, str]:
    if not _TARGET.fullmatch(target):
        raise BadRequest("the target holds characters that must be percent-encoded (curl: -G --data-urlencode)")
    if target == b"*" and method == "OPTIONS":
        return "*", ""
    if not target.startswith(b"/"):
        raise BadRequest("the target must be a path that starts with /")
    return split_target(target.decode("ascii"))
