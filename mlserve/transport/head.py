"""From a parsed request line and headers to what a request asks for, or to the reason why it is refused.

Pure: no I/O, no clock. aiohttp's parser (llhttp) has split the bytes; this file holds the rules that it leaves open.
Where two readers of one request could disagree about where it ends or what it names, the request is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, BadStatusLine, InvalidURLError, LineTooLong, TransferEncodingError

from mlserve.errors import (
    BadRequest,
    ExpectationFailed,
    HeaderTooLarge,
    RequestError,
    TooLarge,
    UnsupportedEncoding,
    WrongMethod,
)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Verbs that reach a handler. ``CONNECT`` and ``TRACE`` ask for a proxy and for an echo: this is neither."""

_HOST: Final = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
_ABSOLUTE: Final = re.compile(r"https?://[^/?#@]+(?=[/?]|$)", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MORE_DIGITS_THAN_ANY_LIMIT: Final = 18


@dataclass(slots=True)  # not frozen: made for every request, where freezing costs three times the making
class Head:
    """One request without its body. ``keep_alive`` is the client's wish; ``http10`` needs it answered in words.

    ``length`` is what ``Content-Length`` announces, 0 without it.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    length: int
    keep_alive: bool
    http10: bool
    expects_continue: bool


def read_head(message: RawRequestMessage, max_body_bytes: int) -> Head:
    """What ``message`` asks for.

    Raises :class:`~mlserve.errors.RequestError` for what HTTP/1.1 forbids or this server does not do, and
    :class:`~mlserve.errors.TooLarge` for a ``Content-Length`` over the limit, before any of the body is read.
    """
    headers = message.headers
    http11 = message.version == HttpVersion11
    if not http11 and message.version != HttpVersion10:
        raise BadRequest("the request's version is not one this port speaks: send HTTP/1.1 or HTTP/1.0")
    check_method(message.method)
    check_host(headers.getall("Host", ()), required=http11)
    length = _body_length(message, max_body_bytes, http11=http11)
    expects = expects_continue(headers)
    path, query = split_target(message.path)
    # A parser that saw an upgrade takes what follows for another protocol, so it cannot read a second request.
    keep_alive = not message.should_close and not message.upgrade
    return Head(message.method, path, query, headers, length, keep_alive, not http11, expects and http11)


def check_method(method: str) -> None:
    """Raises :class:`~mlserve.errors.WrongMethod` for a verb that no handler gets."""
    if method not in METHODS:
        raise WrongMethod(f"this server does not answer that method: it knows {', '.join(METHODS)}", allow=METHODS)


def expects_continue(headers: Mapping[str, str]) -> bool:
    """Whether the client waits to be asked for the body.

    Raises :class:`~mlserve.errors.UnsupportedEncoding` and :class:`~mlserve.errors.ExpectationFailed` for bodies and
    wishes that this server does not do.
    """
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedEncoding("request bodies are read as they are: send this one without Content-Encoding")
    expect = headers.get("Expect")
    if expect is not None and expect.lower() != "100-continue":
        raise ExpectationFailed("Expect holds something other than 100-continue: send the request without it")
    return expect is not None


def check_host(hosts: Sequence[str], *, required: bool) -> None:
    """Raises :class:`~mlserve.errors.BadRequest` if the request does not name one host, in a host's characters."""
    if len(hosts) > 1 or (required and not hosts):
        raise BadRequest(f"a request needs exactly one Host header, this one has {len(hosts)}")
    if hosts and not _is_host(hosts[0]):
        raise BadRequest("the Host header holds characters that no host name or address has")


@lru_cache(maxsize=64)  # most clients of a server call it by one name
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _body_length(message: RawRequestMessage, max_body_bytes: int, *, http11: bool) -> int:
    """What the headers say of the body's size, 0 if nothing; the body cannot end anywhere else than they say."""
    lengths = message.headers.getall("Content-Length", ())
    codings = message.headers.getall("Transfer-Encoding", ())
    if codings:
        if lengths:
            raise BadRequest("a request has either Content-Length or Transfer-Encoding, this one has both")
        if not http11:
            raise BadRequest("Transfer-Encoding needs HTTP/1.1: send a Content-Length")
        if len(codings) > 1 or codings[0].strip(" \t").lower() != "chunked":
            raise BadRequest("the only Transfer-Encoding this server reads is chunked, given once and alone")
    elif lengths:
        if len(lengths) > 1 or not is_length(lengths[0]):
            raise BadRequest("Content-Length must be one number in decimal digits")
        return bounded_length(lengths[0], max_body_bytes)
    return 0


def is_length(text: str) -> bool:
    """Whether ``text`` is a number of bytes as ``Content-Length`` has it."""
    return text.isascii() and text.isdigit()


def bounded_length(digits: str, max_body_bytes: int) -> int:
    """``digits`` as a number. Raises :class:`~mlserve.errors.TooLarge` if a body of that size is over the limit."""
    if len(digits) > _MORE_DIGITS_THAN_ANY_LIMIT or int(digits) > max_body_bytes:
        raise body_too_large(max_body_bytes)
    return int(digits)


def split_target(target: str) -> tuple[str, str]:
    """A request target as (decoded path, raw query); ``*`` for itself. Origin and absolute form.

    Raises :class:`~mlserve.errors.BadRequest` for targets that a proxy may read another way: broken or non-UTF-8
    escapes, control characters, an encoded slash, dot segments, a fragment, anything outside ASCII.
    """
    if not target.isascii() or "#" in target:
        raise BadRequest("the target holds characters that must be percent-encoded (curl: -G --data-urlencode)")
    if target.startswith("/"):
        path, _, query = target.partition("?")
    elif target == "*":
        return "*", ""
    else:
        authority = _ABSOLUTE.match(target)
        if authority is None:
            raise BadRequest("the target must be a path that starts with /, or an http:// URL")
        path, _, query = target[authority.end() :].partition("?")
        path = path or "/"
    if "%" in path:
        path = _decode(path)
    if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
        raise BadRequest("the path holds . or .. segments: send it resolved")
    return path, query


def _decode(path: str) -> str:
    if _BAD_ESCAPE.search(path):
        raise BadRequest("the path holds a % that two hexadecimal digits do not follow: write %25 for %")
    if "%2f" in path.lower():
        raise BadRequest("the path holds an encoded slash (%2F), which no route here has")
    try:
        decoded = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("the path's percent-escapes are not UTF-8") from None
    if any(character < " " or character == "\x7f" for character in decoded):
        raise BadRequest("the path holds an encoded control character")
    return decoded


def head_bytes(message: RawRequestMessage) -> int:
    """What the request line and headers weigh on the wire, white space around values apart."""
    line = len(message.method) + len(message.path) + len("  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers) + len("\r\n")


def header_too_large(max_header_bytes: int) -> HeaderTooLarge:
    return HeaderTooLarge(f"request line and headers are over the {max_header_bytes} bytes of MaxHeaderBytes")


def body_too_large(max_body_bytes: int) -> TooLarge:
    return TooLarge(f"the body is over the {max_body_bytes} bytes of BufferSize: send fewer rows at a time")


_CAUSES: Final = (
    ("Missing 'Host'", "a request needs exactly one Host header, this one has none"),
    ("Duplicate", "a header that may stand only once stands twice"),
    ("Content-Length can't be present", "a request has either Content-Length or Transfer-Encoding, this one has both"),
    ("Transfer-Encoding can't be present", "a request has either Content-Length or Transfer-Encoding, not both"),
    ("Content-Length overflow", "Content-Length is larger than any body"),
    ("Invalid character in Content-Length", "Content-Length must be one number in decimal digits"),
    ("Invalid character in chunk size", "a chunk's size must be a hexadecimal number"),
    ("Invalid header token", "a header's name holds a character that names do not have, or white space before the :"),
    ("Invalid header value char", "a header's value holds a control character"),
    ("Unexpected whitespace after header", "a header is folded over two lines: write it on one"),
)
"""How the parser's own texts begin, and what we say instead: theirs quote the request, ours never do."""


def parse_error(error: Exception, max_header_bytes: int) -> RequestError:
    """``error``, raised by the parser, as one whose text helps and does not repeat what came."""
    if isinstance(error, LineTooLong):
        return header_too_large(max_header_bytes)
    if isinstance(error, BadHttpMethod):
        return BadRequest("the request does not start with an HTTP method in capitals: is this HTTP, or TLS perhaps?")
    if isinstance(error, BadStatusLine):
        return BadRequest("the request line is not METHOD, space, target, space, HTTP/1.1, then CR LF")
    if isinstance(error, InvalidURLError):
        return BadRequest("the target is not a path or http:// URL in ASCII: percent-encode everything else")
    if isinstance(error, TransferEncodingError):
        return BadRequest("the chunked body is cut wrongly: size in hexadecimal, CR LF, that many bytes, CR LF")
    said = str(getattr(error, "message", "")).lstrip()
    for beginning, text in _CAUSES:
        if said.startswith(beginning):
            return BadRequest(text)
    return BadRequest("header or body framing is not valid HTTP/1.1: lines end in CR LF and read Name: value")
