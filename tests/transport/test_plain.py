"""The door would answer what is not one whole request, or a request whose headers matter, if these failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport.plain import MAX_FIELDS_BYTES, _content_length, read_plain

LINE = b"GET /v1/api/model/m/eval?x=1 HTTP/1.1\r\n"
POSTED = b"POST /v1/api/model/m/eval HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (LINE + b"Host: a\r\n\r\n", ("GET", "/v1/api/model/m/eval", "x=1", b"")),
        (b"GET /a HTTP/1.1\r\nhost: a:80\r\naccept: */*\r\n\r\n", ("GET", "/a", "", b"")),
        (b"GET /a? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", ("GET", "/a", "", b"")),
        (b"GET /a?b=%20+c&d=/?;: HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "/a", "b=%20+c&d=/?;:", b"")),
        (LINE + b"Host: a\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: b (c; d) e/1\r\n\r\n",
         ("GET", "/v1/api/model/m/eval", "x=1", b"")),
        (POSTED + b"Host: a\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\n{ }",
         ("POST", "/v1/api/model/m/eval", "", b"{ }")),
        (POSTED + b"Content-Length: 4\r\nHost: a\r\n\r\n\r\n\r\n", ("POST", "/v1/api/model/m/eval", "", b"\r\n\r\n")),
        (POSTED + b"Host: a\r\nContent-Length: 0\r\n\r\n", ("POST", "/v1/api/model/m/eval", "", b"")),
    ],
)  # fmt: skip
def test_what_is_plain(data: bytes, read: tuple[str, str, str, bytes]) -> None:
    """Everyday clients would get nothing from the door."""
    assert read_plain(data) == read


@pytest.mark.parametrize(
    "line",
    [
        b"HEAD /a HTTP/1.1", b"PUT /a HTTP/1.1", b"get /a HTTP/1.1", b"GET  /a HTTP/1.1", b"GET /a  HTTP/1.1",
        b"GET\t/a HTTP/1.1", b" GET /a HTTP/1.1", b"\r\nGET /a HTTP/1.1", b"GET /a HTTP/1.0", b"GET /a HTTP/1.2",
        b"GET /a HTTP/2.0", b"GET /a http/1.1", b"GET /a", b"GET /a HTTP/1.1 ", b"GET a HTTP/1.1", b"GET * HTTP/1.1",
        b"GET http://a/a HTTP/1.1", b"GET // HTTP/1.1", b"GET /a/ HTTP/1.1", b"GET /a//b HTTP/1.1", b"GET / HTTP/1.1",
        b"GET /../a HTTP/1.1", b"GET /./a HTTP/1.1", b"GET /a/.. HTTP/1.1", b"GET /.a HTTP/1.1", b"GET /%61 HTTP/1.1",
        b"GET /a#b HTTP/1.1", b"GET /a?b#c HTTP/1.1", b"GET /a?\xff HTTP/1.1", b"GET /\xc3\xa4 HTTP/1.1",
        b"GET /a?\x00 HTTP/1.1", b'GET /a?" HTTP/1.1', b"GET /a?b c HTTP/1.1", b"GET /a?b\rc HTTP/1.1",
        b"GET /a;b HTTP/1.1",
        b"GET /a\\b HTTP/1.1", b"GET /a?\x7f HTTP/1.1", b"GET /a?<b> HTTP/1.1", b"POST /a?b HTTP/1.1",
    ],
)  # fmt: skip
def test_other_request_lines_are_not(line: bytes) -> None:
    """One space each, a path that no proxy reads otherwise, HTTP/1.1."""
    length = b"Content-Length: 0\r\n" if line.startswith(b"POST") else b""
    assert read_plain(line + b"\r\nHost: a\r\n" + length + b"\r\n") is None
    assert read_plain(line + b"\nHost: a\n" + length + b"\n") is None


@pytest.mark.parametrize(
    "fields",
    [
        b"", b"Accept: a\r\n", b"Host: a\r\nHost: a\r\n", b"Host:a\r\n", b"Host:  a\r\n", b"Host: a \r\n",
        b"Host : a\r\n",
        b"Host:\ta\r\n", b"Host: \r\n", b"Host:\r\n", b"Host: a\n", b"Host: a\r", b"Host: a\r\r\n", b" Host: a\r\n",
        b"Host: a\r\n b\r\n", b"Host: a\r\n\tb\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n", b"Host: a,b\r\n",
        b"Host: a\r\nAccept: b\x00c\r\n", b"Host: a\r\nAccept: b\rc\r\n", b"Host: a\r\nAccept: b\nc\r\n",
        b"Host: a\r\nAccept: \xff\r\n", b"Host: a\r\nAccept: b\tc\r\n", b"Host: a\r\nAccept: b\r\naccept: b\r\n",
        b"Host: a\r\nAccept-Encoding: gzip;q=0\r\n", b"Host: a\r\nAccept-Encoding: *\r\n",
        b"Host: a\r\nContent-Length: 0\r\n", b"Host: a\r\nno colon\r\n", b"Host: a\r\n: b\r\n",
        b"Host: a\r\nA_b: c\r\n",
        *[
            b"Host: a\r\n" + name + b": 1\r\n"
            for name in (
                b"Transfer-Encoding", b"Expect", b"Upgrade", b"Connection", b"Keep-Alive", b"TE", b"Trailer", b"Via",
                b"X-Request-Id", b"X-Request-Timeout-Ms", b"Cache-Control", b"Pragma", b"Cookie", b"Authorization",
                b"traceparent", b"tracestate", b"b3", b"X-B3-TraceId", b"baggage", b"Range", b"If-None-Match",
                b"Origin",
                b"Content-Encoding", b"HTTP2-Settings", b"Proxy-Connection", b"X-Forwarded-For", b"Forwarded", b"Date",
                b"X-Anything", b"Content_Length", b"Content-Length2", b"Sec-WebSocket-Key", b"Max-Forwards",
            )
        ],
        b"Host: a\r\nUser-Agent: " + b"b" * MAX_FIELDS_BYTES + b"\r\n",
    ],
)  # fmt: skip
def test_other_headers_are_not(fields: bytes) -> None:
    """A header that is not on the list may change the answer; a line that is not strict may end elsewhere."""
    assert read_plain(LINE + fields + b"\r\n") is None


@pytest.mark.parametrize(
    "length", [b"3", b"5", b"04", b"+4", b"-4", b"4 ", b" 4", b"0x4", b"4,4", b"4\r\nContent-Length: 4", b"4.0", b"4e0",
               b"\xb2", b"99999999999999999999", b""]
)  # fmt: skip
def test_a_length_that_is_not_that_of_the_rest_is_not(length: bytes) -> None:
    """What stands behind would be another request, or a part would be missing."""
    assert read_plain(POSTED + b"Host: a\r\nContent-Length: 4\r\n\r\nbody") is not None
    assert read_plain(POSTED + b"Host: a\r\nContent-Length: " + length + b"\r\n\r\nbody") is None
    assert read_plain(POSTED + b"Host: a\r\n\r\nbody") is None


def test_a_get_with_anything_behind_it_is_not() -> None:
    """Two requests in one chunk are the parser's."""
    whole = LINE + b"Host: a\r\n\r\n"
    assert read_plain(whole) is not None
    for behind in (b"\r", b"\n", b"\r\n", b"\x00", b"x", whole):
        assert read_plain(whole + behind) is None


@given(
    st.integers(0, 200),
    st.sampled_from([LINE + b"Host: a\r\n\r\n", POSTED + b"Host: a\r\nContent-Length: 2\r\n\r\n{}"]),
)
def test_no_part_of_a_plain_request_is_plain(cut: int, whole: bytes) -> None:
    """Nobody may be answered before they have asked."""
    if cut % len(whole):
        assert read_plain(whole[: cut % len(whole)]) is None


def test_headers_that_are_not_plain_are_not_kept() -> None:
    """There may be secrets in them, and anybody can send any number of them."""
    _content_length.cache_clear()
    read_plain(LINE + b"Host: a\r\nAuthorization: secret\r\n\r\n")
    assert _content_length.cache_info().currsize == 0
    read_plain(LINE + b"Host: a\r\n\r\n")
    read_plain(LINE + b"Host: a\r\n\r\n")
    assert (_content_length.cache_info().currsize, _content_length.cache_info().hits) == (1, 1)
    assert _content_length.cache_info().maxsize is not None
