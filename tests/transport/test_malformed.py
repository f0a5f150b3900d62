"""What HTTP/1.1 forbids, and what attackers send: refused at once, in JSON, without an echo, and served on after it.

A case is one line of ``CASES``: a name, the answer's status (0: closed without one), and the bytes, in pieces if it
matters where they are cut. The word ``kzq7`` stands in most of them and must not come back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from mlserve.transport.http1 import Http1Limits
from mlserve.transport.message import HttpRequest, HttpResponse
from tests.support.http1 import Wire, connect, serving

LIMITS = Http1Limits(max_header_bytes=1024, max_body_bytes=2048, read_timeout_s=30.0)
PROMPT_S = 1.0
"""An answer takes under 100 ms; the test waits longer, for a machine that is busy, and far less than the deadline."""
CODES = {
    400: "bad_request",
    405: "wrong_method",
    413: "too_large",
    415: "unsupported_encoding",
    417: "expectation_failed",
    431: "header_too_large",
}


@dataclass(frozen=True)
class Case:
    """``half_close``: the client says that it sends no more, and still reads."""

    name: str
    status: int
    pieces: tuple[bytes, ...]
    half_close: bool = False


def line(text: bytes, headers: bytes = b"Host: kzq7\r\n") -> bytes:
    return text + b"\r\n" + headers + b"\r\n"


def get(*headers: bytes, target: bytes = b"/kzq7") -> bytes:
    return line(b"GET " + target + b" HTTP/1.1", b"".join(h + b"\r\n" for h in (b"Host: a", *headers)))


def post(body: bytes, *headers: bytes) -> bytes:
    return line(b"POST /kzq7 HTTP/1.1", b"".join(h + b"\r\n" for h in (b"Host: a", *headers))) + body


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(body, b"Transfer-Encoding: chunked", *headers)


def case(name: str, status: int, *pieces: bytes, half_close: bool = False) -> Case:
    return Case(name, status, pieces, half_close)


CASES = [
    # The request line
    case("method unknown", 400, line(b"KZQ7 / HTTP/1.1")),
    case("method in lower case", 400, line(b"get / HTTP/1.1")),
    case("method with a space before", 400, line(b" GET / HTTP/1.1")),
    case("method with a colon", 400, line(b"G:T / HTTP/1.1")),
    case("method with a NUL", 400, line(b"G\x00T / HTTP/1.1")),
    case("method of high bytes", 400, line(b"\xff\xfe / HTTP/1.1")),
    case("method endless", 400, b"G" * 5000),
    case("method cut short by CR LF", 400, b"GE\r\nT / HTTP/1.1\r\n\r\n"),
    case("method quoted", 400, line(b'"GET" / HTTP/1.1')),
    case("method empty", 400, line(b" / HTTP/1.1")),
    case("TRACE", 405, line(b"TRACE /kzq7 HTTP/1.1")),
    case("CONNECT", 405, line(b"CONNECT kzq7:443 HTTP/1.1")),
    case("CONNECT with a path", 405, line(b"CONNECT /kzq7 HTTP/1.1")),
    case("WebDAV", 405, line(b"PROPFIND /kzq7 HTTP/1.1")),
    case("UPnP", 405, line(b"M-SEARCH /kzq7 HTTP/1.1")),
    case("icecast", 405, line(b"SOURCE /kzq7 ICE/1.0")),
    case("rtsp", 405, line(b"PLAY /kzq7 RTSP/1.0")),
    case("tab for space", 400, line(b"GET\t/kzq7\tHTTP/1.1")),
    case("space in the target", 400, line(b"GET /kzq7 b HTTP/1.1")),
    case("space at the end of the line", 400, line(b"GET /kzq7 HTTP/1.1 ")),
    case("only CR ends the line", 400, b"GET /kzq7 HTTP/1.1\rHost: a\r\r"),
    case("only LF ends the line", 400, b"GET /kzq7 HTTP/1.1\nHost: a\n\n"),
    case("request line folded", 400, line(b"GET\r\n /kzq7 HTTP/1.1")),
    case("a TLS client", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03kzq7"),
    case("an SSH client", 400, b"SSH-2.0-kzq7\r\n"),
    case("a SOCKS5 client", 400, b"\x05\x01\x00"),
    case("a SOCKS4 client", 400, b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00"),
    case("a Redis client", 400, b"*1\r\n$4\r\nPING\r\n"),
    case("a PROXY protocol preamble", 400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
    case("a gRPC client's HTTP/2 preface", 400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    case("an HTTP/2 preface and settings", 400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4]) + bytes(5)),
    case("a JSON document", 400, b'{"kzq7": 1}\r\n\r\n'),
    case("zeros", 400, bytes(64)),
    # The version
    case("HTTP/0.9 without a version", 400, b"GET /kzq7\r\n\r\n"),
    case("HTTP/0.9 with a version", 400, line(b"GET /kzq7 HTTP/0.9")),
    case("HTTP/1.2", 400, line(b"GET /kzq7 HTTP/1.2")),
    case("HTTP/2.0", 400, line(b"GET /kzq7 HTTP/2.0")),
    case("HTTP/3.0", 400, line(b"GET /kzq7 HTTP/3.0")),
    case("HTTP/9.9", 400, line(b"GET /kzq7 HTTP/9.9")),
    case("HTTP/11", 400, line(b"GET /kzq7 HTTP/11")),
    case("HTTP/1", 400, line(b"GET /kzq7 HTTP/1")),
    case("HTTP/1.10", 400, line(b"GET /kzq7 HTTP/1.10")),
    case("HTTP/-1.1", 400, line(b"GET /kzq7 HTTP/-1.1")),
    case("http/1.1", 400, line(b"GET /kzq7 http/1.1")),
    case("HTTPS/1.1", 400, line(b"GET /kzq7 HTTPS/1.1")),
    # The target
    case("target empty", 400, line(b"GET  HTTP/1.1")),
    case("target without a slash", 400, get(target=b"kzq7")),
    case("asterisk with GET", 400, get(target=b"*")),
    case("query without a path", 400, get(target=b"?kzq7=1")),
    case("fragment", 400, get(target=b"/kzq7#top")),
    case("fragment in the query", 400, get(target=b"/kzq7?a=1#top")),
    case("raw UTF-8", 400, get(target="/kzq7/Tórshavn".encode())),
    case("raw UTF-8 in the query", 400, get(target="/kzq7?island=Tórshavn".encode())),
    case("raw Latin-1", 400, get(target=b"/kzq7/\xf3")),
    case("NUL in the target", 400, get(target=b"/kzq7\x00")),
    case("DEL in the target", 400, get(target=b"/kzq7\x7f")),
    case("escape in the target", 400, get(target=b"/kzq7\x1b[31m")),
    case("tab in the target", 400, get(target=b"/kzq7\tb")),
    case("percent at the end", 400, get(target=b"/kzq7%")),
    case("percent and one digit", 400, get(target=b"/kzq7%4")),
    case("percent and no digits", 400, get(target=b"/kzq7%zz")),
    case("percent of IIS", 400, get(target=b"/kzq7%u0041")),
    case("encoded NUL", 400, get(target=b"/kzq7%00")),
    case("encoded line break", 400, get(target=b"/kzq7%0d%0aSet-Cookie:%20a")),
    case("encoded DEL", 400, get(target=b"/kzq7%7f")),
    case("encoded slash", 400, get(target=b"/kzq7%2fadmin")),
    case("encoded slash in capitals", 400, get(target=b"/kzq7%2Fadmin")),
    case("overlong UTF-8 for a slash", 400, get(target=b"/kzq7%c0%af")),
    case("overlong UTF-8 for a dot", 400, get(target=b"/%c0%ae%c0%ae/kzq7")),
    case("encoded byte that is not UTF-8", 400, get(target=b"/kzq7%ff")),
    case("encoded lone surrogate", 400, get(target=b"/kzq7%ed%a0%80")),
    case("dot dot", 400, get(target=b"/../etc/kzq7")),
    case("dot dot inside", 400, get(target=b"/v1/../kzq7")),
    case("dot dot encoded", 400, get(target=b"/%2e%2e/kzq7")),
    case("dot", 400, get(target=b"/./kzq7")),
    case("dot dot at the end", 400, get(target=b"/kzq7/..")),
    case("other scheme", 400, get(target=b"ftp://kzq7/a")),
    case("file scheme", 400, get(target=b"file:///etc/kzq7")),
    case("absolute without a host", 400, get(target=b"http:///kzq7")),
    case("absolute with a user", 400, get(target=b"http://kzq7:secret@a/")),
    case("absolute with a bad port", 400, get(target=b"http://kzq7:99999/")),
    case("absolute with dot dot", 400, get(target=b"http://a/../kzq7")),
    case("javascript", 400, get(target=b"javascript:kzq7")),
    case("target too long", 431, get(target=b"/kzq7" + b"a" * 2000)),
    case("query too long", 431, get(target=b"/kzq7?a=" + b"a" * 2000)),
    case("target too long and not at its end", 431, b"GET /kzq7" + b"a" * 2000),
    # Headers
    case("Host missing", 400, b"GET /kzq7 HTTP/1.1\r\n\r\n"),
    case("Host twice", 400, get(b"Host: kzq7")),
    case("Host twice, equal", 400, get(b"Host: a")),
    case("Host twice in other case", 400, get(b"hOST: kzq7")),
    case("Host with a space", 400, line(b"GET / HTTP/1.1", b"Host: kzq7 b\r\n")),
    case("Host with a path", 400, line(b"GET / HTTP/1.1", b"Host: kzq7/b\r\n")),
    case("Host with a user", 400, line(b"GET / HTTP/1.1", b"Host: kzq7@b\r\n")),
    case("Host in UTF-8", 400, line(b"GET / HTTP/1.1", "Host: kzq7é\r\n".encode())),
    case("header without a colon", 400, get(b"kzq7")),
    case("header without a name", 400, get(b": kzq7")),
    case("space before the colon", 400, get(b"X-A : kzq7")),
    case("tab before the colon", 400, get(b"X-A\t: kzq7")),
    case("space before the name", 400, line(b"GET / HTTP/1.1", b" Host: kzq7\r\n")),
    case("space in the name", 400, get(b"X A: kzq7")),
    case("folded header", 400, get(b"X-A: b\r\n kzq7")),
    case("folded with a tab", 400, get(b"X-A: b\r\n\tkzq7")),
    case("folded framing", 400, post(b"abc", b"Content-Length:\r\n 3")),
    case("NUL in a value", 400, get(b"X-A: kzq7\x00b")),
    case("NUL in a name", 400, get(b"X\x00A: kzq7")),
    case("bare CR in a value", 400, get(b"X-A: kzq7\rb")),
    case("bare LF in a value", 400, get(b"X-A: kzq7\nX-B: c")),
    case("control character in a value", 400, get(b"X-A: kzq7\x07")),
    case("DEL in a value", 400, get(b"X-A: kzq7\x7f")),
    case("high byte in a name", 400, get(b"X\xe9: kzq7")),
    case("brackets in a name", 400, get(b"X[0]: kzq7")),
    case("header line after LF only", 400, b"GET / HTTP/1.1\r\nHost: a\nX-A: kzq7\r\n\r\n"),
    case("end of headers by LF only", 400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    case("one header too long", 431, get(b"X-A: kzq7" + b"a" * 2000)),
    case("one name too long", 431, get(b"X" * 2000 + b": kzq7")),
    case("many headers", 431, get(*(b"X-%d: kzq7" % i for i in range(200)))),
    case("many tiny headers", 431, get(*(b"a:" for _ in range(400)))),
    case("headers too long in pieces", 431, b"GET / HTTP/1.1\r\nHost: a\r\n", *([b"X-A: kzq7\r\n"] * 200)),
    case("header that never ends", 431, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", *(b"kzq7" * 32 for _ in range(20))),
    case("empty lines without end", 431, b"\r\n" * 1000),
    case("headers too long behind a good request", 431, get(), get(b"X-A: kzq7" + b"a" * 600, b"X-B: " + b"b" * 600)),
    case("a body that is compressed", 415, post(b"abc", b"Content-Length: 3", b"Content-Encoding: gzip")),
    case("a body that is compressed twice", 415, post(b"abc", b"Content-Length: 3", b"Content-Encoding: gzip, br")),
    case("a coding nobody knows", 415, post(b"abc", b"Content-Length: 3", b"Content-Encoding: kzq7")),
    case("an expectation nobody knows", 417, get(b"Expect: kzq7")),
    case("two expectations", 417, get(b"Expect: 100-continue, kzq7")),
    case("a WebSocket of the first draft", 400, get(b"Sec-WebSocket-Key1: kzq7")),
    # Where the body ends: smuggling
    case("length and chunks", 400, chunked(b"0\r\n\r\n", b"Content-Length: 5")),
    case("chunks and length", 400, post(b"0\r\n\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked")),
    case("two lengths", 400, post(b"abc", b"Content-Length: 3", b"Content-Length: 4")),
    case("two lengths, equal", 400, post(b"abc", b"Content-Length: 3", b"Content-Length: 3")),
    case("two lengths in one", 400, post(b"abc", b"Content-Length: 3, 3")),
    case("length negative", 400, post(b"abc", b"Content-Length: -3")),
    case("length with a plus", 400, post(b"abc", b"Content-Length: +3")),
    case("length in hexadecimal", 400, post(b"abc", b"Content-Length: 0x3")),
    case("length with a point", 400, post(b"abc", b"Content-Length: 3.0")),
    case("length with an exponent", 400, post(b"abc", b"Content-Length: 1e1")),
    case("length with an underscore", 400, post(b"abc", b"Content-Length: 1_0")),
    case("length with a space inside", 400, post(b"abc", b"Content-Length: 1 0")),
    case("length empty", 400, post(b"abc", b"Content-Length:")),
    case("length a word", 400, post(b"abc", b"Content-Length: kzq7")),
    case("length in other digits", 400, post(b"abc", "Content-Length: ٣".encode())),
    case("length of 2^64", 400, post(b"", b"Content-Length: 18446744073709551616")),
    case("length of 2^64-1", 413, post(b"", b"Content-Length: 18446744073709551615")),
    case("length of 2^63", 413, post(b"", b"Content-Length: 9223372036854775808")),
    case("length of 10^30", 400, post(b"", b"Content-Length: 1" + b"0" * 30)),
    case("length one over the limit", 413, post(b"", b"Content-Length: 2049")),
    case("length over the limit, expecting", 413, post(b"", b"Content-Length: 2049", b"Expect: 100-continue")),
    case("body over the limit", 413, post(b"kzq7" * 1000, b"Content-Length: 4000")),
    case("Transfer-Encoding unknown", 400, post(b"", b"Transfer-Encoding: kzq7")),
    case("Transfer-Encoding gzip", 400, post(b"0\r\n\r\n", b"Transfer-Encoding: gzip, chunked")),
    case("Transfer-Encoding identity", 400, post(b"", b"Transfer-Encoding: identity")),
    case("Transfer-Encoding chunked twice", 400, chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked")),
    case("Transfer-Encoding chunked, chunked", 400, post(b"0\r\n\r\n", b"Transfer-Encoding: chunked, chunked")),
    case("Transfer-Encoding chunked, identity", 400, post(b"0\r\n\r\n", b"Transfer-Encoding: chunked, identity")),
    case("Transfer-Encoding xchunked", 400, post(b"0\r\n\r\n", b"Transfer-Encoding: xchunked")),
    case("Transfer-Encoding quoted", 400, post(b"0\r\n\r\n", b'Transfer-Encoding: "chunked"')),
    case("Transfer-Encoding with a vertical tab", 400, post(b"0\r\n\r\n", b"Transfer-Encoding: \x0bchunked")),
    case("Transfer-Encoding before HTTP/1.1", 400, line(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked\r\n")),
    case("Transfer-Encoding, space before the colon", 400, post(b"0\r\n\r\n", b"Transfer-Encoding : chunked")),
    case("Transfer-Encoding behind a bare LF", 400, post(b"0\r\n\r\n", b"X-A: b\nTransfer-Encoding: chunked")),
    # Chunks
    case("chunk size a word", 400, chunked(b"kzq7\r\nabc\r\n")),
    case("chunk size negative", 400, chunked(b"-3\r\nabc\r\n")),
    case("chunk size with 0x", 400, chunked(b"0x3\r\nabc\r\n")),
    case("chunk size with a space before", 400, chunked(b" 3\r\nabc\r\n")),
    case("chunk size with a space after", 400, chunked(b"3 \r\nabc\r\n")),
    case("chunk size empty", 400, chunked(b"\r\nabc\r\n")),
    case("chunk size over 2^64", 400, chunked(b"fffffffffffffffff\r\nabc")),
    case("chunk size in other digits", 400, chunked("٣\r\nabc\r\n".encode())),
    case("chunk size ended by LF", 400, chunked(b"3\nabc\r\n0\r\n\r\n")),
    case("chunk longer than its size", 400, chunked(b"3\r\nabcd\r\n0\r\n\r\n")),
    case("chunk shorter than its size", 400, chunked(b"4\r\nabc\r\n0\r\n\r\n")),
    case("chunk ended by LF", 400, chunked(b"3\r\nabc\n0\r\n\r\n")),
    case("chunk extension with a control character", 400, chunked(b"3;a=\x01\r\nabc\r\n0\r\n\r\n")),
    case("chunk extension over two lines", 400, chunked(b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n')),
    case("chunk in its second piece", 400, chunked(b"3\r\nabc\r\n"), b"kzq7\r\n"),
    case("trailer with a length", 400, chunked(b"0\r\nContent-Length: 3\r\n\r\n")),
    case("trailer without a colon", 400, chunked(b"0\r\nkzq7\r\n\r\n")),
    case("trailer too long", 431, chunked(b"0\r\nX-A: " + b"kzq7" * 1000 + b"\r\n\r\n")),
    case("chunks over the limit", 413, chunked(b"1000\r\n" + b"kzq7" * 1024 + b"\r\n0\r\n\r\n")),
    case("chunks over the limit in pieces", 413, chunked(b""), *([b"100\r\n" + b"kzq7" * 64 + b"\r\n"] * 9)),
    # Ends that come too early
    case("end inside the method", 400, b"GE", half_close=True),
    case("end inside the headers", 400, b"GET /kzq7 HTTP/1.1\r\nHost: a\r\n", half_close=True),
    case("end inside the body", 400, post(b"ab", b"Content-Length: 3"), half_close=True),
    case("end inside a chunk", 400, chunked(b"3\r\nab"), half_close=True),
    case("end before the last chunk", 400, chunked(b"3\r\nabc\r\n"), half_close=True),
    case("end without a byte", 0, b"", half_close=True),
    case("end behind a good request", 400, get(), b"GET /kz", half_close=True),
    # Behind a good request on one connection
    case("garbage behind a good request", 400, get() + b"kzq7\r\n\r\n"),
    case("garbage behind a good body", 400, post(b"abc", b"Content-Length: 3") + b"kzq7\r\n\r\n"),
    case("garbage behind good chunks", 400, chunked(b"3\r\nabc\r\n0\r\n\r\n") + b"kzq7\r\n\r\n"),
    case("body longer than its length", 400, post(b"abckzq7", b"Content-Length: 3")),
]  # fmt: skip


async def fine(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, b"fine")


async def last_answer(wire: Wire) -> bytes:
    """All that came until the server closed; the part behind the answers of good requests before."""
    came = await wire.ended(PROMPT_S)
    *_, last = came.split(b"fine")
    return last


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_refused_at_once_in_json_without_an_echo(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """One of these would hang, crash, smuggle, or be quoted back to whoever sent it."""
    async with serving(fine, LIMITS) as server:
        async with connect(server) as wire:
            await wire.send(*case.pieces)
            if case.half_close:
                if len(case.pieces) > 1:
                    await wire.reader.readuntil(b"fine")
                wire.writer.write_eof()
            came = await last_answer(wire)
        if case.status == 0:
            assert came == b""
        else:
            await check(came, case.status)
        async with connect(server) as wire:
            await wire.send(get())
            assert (await wire.answer()).status == 200
    assert not caplog.records


async def check(came: bytes, status: int) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(came)
    reader.feed_eof()
    answer = await Wire(reader, None).answer()  # type: ignore[arg-type]  # this one is only read from
    assert came.startswith(b"HTTP/1.1 ")
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert "server" not in answer.headers
    assert answer.json["status"] == "error"
    assert answer.json["code"] == CODES[status]
    assert len(answer.json["error"]) > 20
    assert b"kzq7" not in came.lower()
    assert b"Traceback" not in came
    assert came.isascii()
    assert reader.at_eof(), "something came behind the last answer"


def test_the_table_is_as_long_as_promised_and_names_are_unique() -> None:
    """A case that is shadowed by another of its name would not be seen failing."""
    assert len({case.name for case in CASES}) == len(CASES) >= 120
