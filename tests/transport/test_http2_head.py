"""What a request of HTTP/2 may say of itself: malformed ones end their stream, others are answered as over HTTP/1.1."""

from __future__ import annotations

import pytest

from mlserve.errors import BadRequest, ExpectationFailed, HeaderTooLarge, TooLarge, UnsupportedEncoding, WrongMethod
from mlserve.transport.head import Head
from mlserve.transport.http2_frames import Code, StreamFault
from mlserve.transport.http2_head import Refused, check_trailers, read_fields

PSEUDO = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/a")]


def read(*more: tuple[bytes, bytes], **instead: bytes | None) -> Head:
    """The head of a plain request with ``more`` fields, and pseudo-header fields exchanged or left out."""
    fields = [(name, instead.get(name[1:].decode(), value)) for name, value in PSEUDO]
    return read_all([(name, value) for name, value in fields if value is not None] + list(more))


def read_all(fields: list[tuple[bytes, bytes]]) -> Head:
    return read_fields(fields, max_header_bytes=1024, max_body_bytes=2048)


def test_a_head_is_that_of_http1() -> None:
    """Handlers must not see which protocol carried a request."""
    head = read((b"x-a", b"1"), (b"x-a", b"2"), (b"content-length", b"5"), path=b"/a%20b?x=%2f")
    assert (head.method, head.path, head.query, head.length) == ("GET", "/a b", "x=%2f", 5)
    assert head.headers["X-A"] == "1"
    assert head.headers["Host"] == "a"
    assert not head.expects_continue
    assert read((b"x-b", b"\xff")).headers["x-b"] == "\udcff", "as aiohttp's parser hands it over"


def test_host_may_stand_for_authority() -> None:
    """Proxies that come from HTTP/1.1 send it so (RFC 9113, section 8.3.1)."""
    assert read((b"host", b"b"), authority=None).headers["host"] == "b"
    assert read((b"host", b"a")).headers["host"] == "a"
    assert read(method=b"OPTIONS", path=b"*").path == "*"
    assert read((b"te", b"trailers"), (b"expect", b"100-Continue")).expects_continue


MALFORMED: dict[str, list[tuple[bytes, bytes]]] = {
    "no method": PSEUDO[1:],
    "no scheme": [PSEUDO[0], *PSEUDO[2:]],
    "no path": PSEUDO[:3],
    "path empty": [*PSEUDO[:3], (b":path", b"")],
    "method twice": [PSEUDO[0], *PSEUDO],
    "path twice": [*PSEUDO, PSEUDO[3]],
    "pseudo of an answer": [*PSEUDO, (b":status", b"200")],
    "pseudo unknown": [*PSEUDO, (b":protocol", b"websocket")],
    "pseudo behind a header": [*PSEUDO[:3], (b"x-a", b"1"), PSEUDO[3]],
    "upper case": [*PSEUDO, (b"X-A", b"1")],
    "name empty": [*PSEUDO, (b"", b"1")],
    "name with a space": [*PSEUDO, (b"x a", b"1")],
    "name with a colon": [*PSEUDO, (b"x:a", b"1")],
    "name of high bytes": [*PSEUDO, (b"x\xff", b"1")],
    "value with a line break": [*PSEUDO, (b"x-a", b"1\r\nx-b: 2")],
    "value with a NUL": [*PSEUDO, (b"x-a", b"\x00")],
    "value with an escape": [*PSEUDO, (b"x-a", b"\x1b[31m")],
    "value after a space": [*PSEUDO, (b"x-a", b" 1")],
    "value before a tab": [*PSEUDO, (b"x-a", b"1\t")],
    "method with a line break": [(b":method", b"GET\n"), *PSEUDO[1:]],
    "connection": [*PSEUDO, (b"connection", b"close")],
    "keep-alive": [*PSEUDO, (b"keep-alive", b"5")],
    "proxy-connection": [*PSEUDO, (b"proxy-connection", b"close")],
    "transfer-encoding": [*PSEUDO, (b"transfer-encoding", b"chunked")],
    "upgrade": [*PSEUDO, (b"upgrade", b"h2c")],
    "te other than trailers": [*PSEUDO, (b"te", b"gzip")],
    "content-length no number": [*PSEUDO, (b"content-length", b"+5")],
    "content-length other digits": [*PSEUDO, (b"content-length", "٣".encode())],
    "content-lengths that differ": [*PSEUDO, (b"content-length", b"5"), (b"content-length", b"6")],
    "host that differs": [*PSEUDO, (b"host", b"b")],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_ends_its_stream(fields: list[tuple[bytes, bytes]]) -> None:
    """RFC 9113, section 8.1.1; behind a proxy that speaks HTTP/1.1 such fields become other requests."""
    with pytest.raises(StreamFault) as caught:
        read_all(fields)
    assert caught.value.code is Code.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ([(b":method", b"TRACE"), *PSEUDO[1:]], WrongMethod),
        ([(b":method", b"kzq7"), *PSEUDO[1:]], WrongMethod),
        ([(b":method", b"CONNECT"), PSEUDO[2]], WrongMethod),
        ([*PSEUDO[:2], PSEUDO[3]], BadRequest),
        ([*PSEUDO[:2], (b":authority", b"a/b"), PSEUDO[3]], BadRequest),
        ([*PSEUDO[:3], (b":path", b"*")], BadRequest),
        ([*PSEUDO[:3], (b":path", b"a")], BadRequest),
        ([*PSEUDO[:3], (b":path", b"http://b/a")], BadRequest),
        ([*PSEUDO[:3], (b":path", b"/a b")], BadRequest),
        ([*PSEUDO[:3], (b":path", "/ó".encode())], BadRequest),
        ([*PSEUDO[:3], (b":path", b"/a%2fb")], BadRequest),
        ([*PSEUDO[:3], (b":path", b"/../a")], BadRequest),
        ([*PSEUDO, (b"content-encoding", b"gzip")], UnsupportedEncoding),
        ([*PSEUDO, (b"expect", b"kzq7")], ExpectationFailed),
        ([*PSEUDO, (b"content-length", b"2049")], TooLarge),
        ([*PSEUDO, (b"content-length", b"9" * 100)], TooLarge),
        ([*PSEUDO, (b"x-a", b"y" * 1024)], HeaderTooLarge),
    ],
)
def test_a_request_that_http1_refuses_is_refused_alike(fields: list[tuple[bytes, bytes]], error: type) -> None:
    """One server, one set of rules."""
    with pytest.raises(Refused) as caught:
        read_all(fields)
    assert type(caught.value.error) is error
    assert "kzq7" not in str(caught.value.error)


def test_a_refused_head_request_is_known_to_be_one() -> None:
    """Its answer must not have a body."""
    for method in (b"GET", b"HEAD"):
        with pytest.raises(Refused) as caught:
            read(method=method, path=b"/../a")
        assert caught.value.head_only is (method == b"HEAD")


@pytest.mark.parametrize("fields", [[(b":path", b"/b")], [(b"X-A", b"1")], [(b"x-a", b"\n")]])
def test_trailers_that_cannot_be_are_malformed(fields: list[tuple[bytes, bytes]]) -> None:
    """A pseudo-header behind the body would make two requests of one."""
    check_trailers([(b"x-checksum", b"1")])
    with pytest.raises(StreamFault):
        check_trailers(fields)
