"""With the door a client would get another answer than without it, for some bytes in some pieces, if these failed."""

from __future__ import annotations

import random

import pytest

from mlserve.transport.limits import Http1Limits
from tests.support.doors import GET, POST, differences
from tests.support.eval_requests import EVAL

PATH = EVAL.encode()
BODY = b'{"x":1.5}'
FIELDS = [
    b"Connection: close", b"Connection: keep-alive", b"Connection: Keep-Alive, Upgrade", b"Connection: x",
    b"Connection:",
    b"Upgrade: h2c", b"Connection: Upgrade\r\nUpgrade: websocket", b"Keep-Alive: timeout=5", b"Proxy-Connection: close",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"transfer-encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\tchunked", b"TE: trailers",
    b"Expect: 100-continue", b"Expect: 200-ok", b"Content-Length: 9", b"Content-Length: 0", b"Content-Length: 8",
    b"Content-Length: 10", b"Content-Length: 09", b"Content-Length: +9", b"Content-Length: 9, 9", b"Content-Length: -1",
    b"Content-Length: 9\r\nContent-Length: 9", b"Content-Length: 9\r\nContent-Length: 8", b"Content-Length: 0x9",
    b"Content-Length:9", b"Content-Length:  9", b"Content-Length: 9 ", b"Content-Length : 9", b"Content-Length:\r\n 9",
    b"Content-Length: 99999999", b"Content-Length: 99999999999999999999999", b"Content-Length: ", b"Content-Length",
    b"content-length: 9", b"CONTENT-LENGTH: 9", b"Content-Encoding: gzip", b"Content-Encoding: identity",
    b"X-Request-Id: abc", b"X-Request-Id: a\xffb", b"x-request-id: abc", b"X-Request-Timeout-Ms: 9000",
    b"X-Request-Timeout-Ms: 0", b"X-Request-Timeout-Ms: 5000", b"Cache-Control: no-cache", b"Cache-Control: no-store",
    b"Cache-Control: only-if-cached", b"Cache-Control: max-age=0", b"cache-control: no-store", b"Pragma: no-cache",
    b"Cookie: a=b", b"Authorization: Bearer x", b"Proxy-Authorization: x", b"traceparent: 00-1-2-01",
    b"tracestate: a=b",
    b"b3: 1-2-1", b"X-B3-TraceId: 1", b"baggage: a=b", b"X-Forwarded-For: 1.2.3.4", b"Forwarded: for=1.2.3.4",
    b"Via: 1.1 a",
    b"Accept: */*", b"Accept: application/json", b"Accept: text/html;q=0.1", b"Accept:", b"Accept: a\r\nAccept: b",
    b"Accept-Encoding: gzip", b"Accept-Encoding: gzip, deflate", b"Accept-Encoding: identity;q=0",
    b"Accept-Encoding: *",
    b"Accept-Encoding: gzip;q=0, *;q=0", b"Accept-Encoding:", b"Accept-Language: de", b"Accept-Charset: utf-8",
    b"User-Agent: a", b"User-Agent: Mozilla/5.0 (X11; Linux) \xff", b"User-Agent: a\tb", b"User-Agent: a\x00b",
    b"User-Agent: a\x7fb", b"User-Agent: a\r\n folded", b"User-Agent: a\rb", b"User-Agent: a\nb", b"User-Agent: a\n",
    b"User-Agent: " + b"a" * 900, b"User-Agent: " + b"a" * 1100, b"User-Agent: " + b"a" * 9000,
    b"Content-Type: application/json", b"Content-Type: text/plain", b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Type: a\r\nContent-Type: b", b"Range: bytes=0-1", b"If-None-Match: *", b"If-Match: x", b"Date: x",
    b"Host: b", b"host: a", b"Origin: http://a", b"Referer: http://a/", b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"Sec-WebSocket-Key: x", b"Max-Forwards: 0", b"Trailer: X", b"Warning: x", b"DNT: 1", b"Priority: u=1", b"X-A: b",
    b": b", b"A", b"A B: c", b"A\x00: b", b"A_B: c", b"A(: b", b"\xc3\xa4: b", b" A: b", b"\tA: b", b"A : b", b"A:b",
    b"A: b ", b"A:  b", b"A: b\r", b"A: \x0b", b"A: \x0c", b"A: \x80", b"A: \x1f",
    b"Content-Length: 9\r\nTransfer-Encoding: chunked", b"Content-Length: 9\r\nConnection: close",
]  # fmt: skip
"""Put into a GET and into a POST each."""
LINES = [
    b"HEAD %b?x=1.5 HTTP/1.1", b"HEAD %b HTTP/1.1", b"PUT %b HTTP/1.1",
    b"DELETE %b HTTP/1.1", b"OPTIONS %b HTTP/1.1", b"TRACE %b HTTP/1.1",
    b"CONNECT %b HTTP/1.1", b"get %b?x=1.5 HTTP/1.1", b"GET %b?x=1.5 HTTP/1.0", b"GET %b?x=1.5 HTTP/1.2",
    b"GET %b?x=1.5 HTTP/2.0", b"GET %b?x=1.5 HTTP/0.9", b"GET %b?x=1.5", b"GET %b?x=1.5 http/1.1",
    b"GET  %b?x=1.5 HTTP/1.1",
    b"GET %b?x=1.5  HTTP/1.1", b"GET %b?x=1.5 HTTP/1.1 ", b" GET %b?x=1.5 HTTP/1.1", b"\r\nGET %b?x=1.5 HTTP/1.1",
    b"\nGET %b?x=1.5 HTTP/1.1", b"\r\n\r\nGET %b?x=1.5 HTTP/1.1", b"GET\t%b?x=1.5\tHTTP/1.1",
    b"GET %b?x=1.5 HTTP/1.1\r",
    b"GET http://a%b?x=1.5 HTTP/1.1", b"GET //a%b?x=1.5 HTTP/1.1", b"GET /.%b?x=1.5 HTTP/1.1",
    b"GET /a/..%b?x=1.5 HTTP/1.1",
    b"GET /%b?x=1.5 HTTP/1.1", b"GET %b/?x=1.5 HTTP/1.1", b"GET %b?x=1.5#f HTTP/1.1", b"GET %b#f HTTP/1.1",
    b"GET %b?x=1.5&x=1.5 HTTP/1.1", b"GET %b?x=%%31.5 HTTP/1.1", b"GET %b?x=1%%2e5 HTTP/1.1", b"GET %b?X=1.5 HTTP/1.1",
    b"GET %b?x=1.50 HTTP/1.1", b"GET %b?x=1.5& HTTP/1.1", b"GET %b??x=1.5 HTTP/1.1", b"GET %b? HTTP/1.1",
    b"GET %b HTTP/1.1",
    b"GET %b?x=1.5 x HTTP/1.1", b"GET %b?x=1.5\x00 HTTP/1.1", b"GET %b?x=1.5\xff HTTP/1.1", b'GET %b?x="1.5" HTTP/1.1',
    b"GET %b?x=1.5\rHTTP/1.1", b"POST %b?x=1.5 HTTP/1.1", b"POST %b?x=1.5&y=2 HTTP/1.1", b"GET %b?x=abc HTTP/1.1",
    b"GET %b?y=1 HTTP/1.1", b"GET %b?x=nan HTTP/1.1", b"GET %b?x=1e39 HTTP/1.1", b"GET * HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"PRI * HTTP/2.0", b"GET /v1/api/model/other/eval?x=1.5 HTTP/1.1", b"GET /healthz HTTP/1.1",
    b"GET /nowhere HTTP/1.1",
    b"GET /v1/api/model/m/explain?x=1.5 HTTP/1.1", b"GET /v1/api/model/%%6d/eval?x=1.5 HTTP/1.1",
    b"GET /v1/api/model/m%%2feval?x=1.5 HTTP/1.1", b"GET /v1/api/model/M/eval?x=1.5 HTTP/1.1",
]  # fmt: skip


def with_field(field: bytes, request: bytes, length: bool) -> bytes:
    line, _, rest = request.partition(b"\r\n")
    kept = rest if length else rest.replace(b"Content-Length: 9\r\n", b"")
    return line + b"\r\n" + field + b"\r\n" + kept


def with_line(line: bytes, headers: bytes = b"Host: a\r\n", body: bytes = b"") -> bytes:
    return (line % PATH if b"%b" in line else line) + b"\r\n" + headers + b"\r\n" + body


TABLE = [
    *[with_field(field, GET, length=True) for field in FIELDS],
    *[with_field(field, POST, length=True) for field in FIELDS],
    *[with_field(field, POST, length=False) for field in FIELDS if b"ontent-" in field or b"ransfer-" in field],
    *[with_line(line) for line in LINES],
    *[with_line(line, b"Host: a\r\nContent-Length: 9\r\n", BODY) for line in LINES],
    *[GET.replace(b"\r\n", b"\n"), POST.replace(b"\r\n", b"\n"), GET.replace(b"Host: a\r\n", b"")],
    *[
        GET.replace(b"Host: a", host)
        for host in (b"Host:a", b"Host: ", b"Host: a b", b"Host: a/b", b"HOST: a", b"Host : a")
    ],
    *[GET + behind for behind in (b"\r", b"\n", b"\r\n", b"\x00", b"GET", GET, POST, GET * 5, GET[:-2])],
    *[POST + behind for behind in (b"\r", b"\n", b"\r\n", b"\x00", b"}", GET, POST, POST * 5, POST[:-2])],
    *[GET[:-1], GET[:-2], GET[:-2] + b"\n", POST[:-1], b"\x16\x03\x01\x02\x00", b"\x00", b"\r\n", b"P", b"G"],
]


def test_the_table_is_as_long_as_promised() -> None:
    """Two cases that are the same would count for one."""
    assert len(set(TABLE)) >= 300


async def test_odd_requests_whole() -> None:
    """Each alone, behind a plain one, and before one."""
    cases = [[raw] for raw in TABLE] + [[GET, raw] for raw in TABLE] + [[raw, POST] for raw in TABLE]
    assert await differences(cases) == []


async def test_odd_requests_while_another_is_under_way() -> None:
    """Answers must come in order: what memory holds must not overtake what is computed."""
    computed = GET.replace(b"x=1.5", b"x=7.25")
    cases = [[computed, raw] for raw in TABLE] + [[raw, GET, POST] for raw in TABLE]
    assert await differences(cases, settled=False) == []


async def test_odd_requests_under_tight_limits() -> None:
    """A request that a limit refuses is refused, whatever memory holds."""
    for limits in (
        Http1Limits(max_header_bytes=len(GET)),
        Http1Limits(max_header_bytes=len(GET) + 20),
        Http1Limits(max_body_bytes=len(GET)),
        Http1Limits(max_body_bytes=len(POST)),
        Http1Limits(max_in_flight_bytes=len(POST)),
    ):
        table = [*TABLE, *[with_field(b"User-Agent: " + b"a" * size, GET, length=True) for size in range(12)]]
        assert await differences([[raw, GET] for raw in table], limits=limits) == []


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("raw", [GET, POST, GET + POST, with_field(b"Accept: */*", POST, length=True)])
async def test_split_at_every_byte(raw: bytes, settled: bool) -> None:
    """TCP keeps no borders: whoever takes a part for the whole answers too early, or twice."""
    cases = [[raw[:cut], raw[cut:]] for cut in range(len(raw) + 1) if raw[:cut] and raw[cut:]]
    cases += [
        [GET, *[bytes([byte]) for byte in raw], GET],
        [raw[:-1], raw[-1:] + GET],
        [raw[:-1], raw[-1:] + GET[:9], GET[9:]],
    ]
    assert await differences(cases, settled=settled) == []


async def test_pipelined() -> None:
    """One chunk with several, and several chunks before the first is answered."""
    many = [[GET] * 10, [POST] * 10, [GET, POST] * 5, [GET * 3, POST, GET], [GET + POST[:20], POST[20:], GET]]
    assert await differences(many) == []
    assert await differences(many, settled=False) == []


SEED = 20260
SPICE = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\x00", b"\xff", b"0", b"9", b"?", b"#", b"%",
         b"/", b".",
         b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
         b"Host: a\r\n"]  # fmt: skip


def mutated(source: random.Random) -> list[bytes]:
    """A plain request, or two, with a few bytes changed, taken out, doubled or put in, cut into some chunks."""
    raw = bytearray(source.choice([GET, POST, GET + GET, POST + GET, GET + POST]))
    for _ in range(source.choice([0, 1, 1, 1, 2, 3])):
        at = source.randrange(len(raw))
        match source.randrange(5):
            case 0:
                raw[at] = source.randrange(256)
            case 1:
                del raw[at : at + source.randint(1, 6)]
            case 2:
                raw[at:at] = source.choice(SPICE)
            case 3:
                raw[at : at + 1] = source.choice(SPICE)
            case _:
                raw[at:at] = raw[at : at + source.randint(1, 20)]
        if not raw:
            raw = bytearray(b"G")
    cuts = sorted(source.sample(range(1, len(raw)), min(len(raw) - 1, source.choice([0, 0, 0, 1, 2]))))
    return [bytes(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@pytest.mark.parametrize("settled", [True, False])
async def test_mutations(settled: bool) -> None:
    """What nobody thought of: half a minute of it. The seed makes every run the same."""
    source = random.Random(SEED)
    assert await differences([mutated(source) for _ in range(10_000)], settled=settled) == []
