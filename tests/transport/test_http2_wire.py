"""Answers as header blocks, read back by hpack: the same fields as over HTTP/1.1, and no table to fill."""

from __future__ import annotations

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport import wire
from mlserve.transport.http2_wire import CONTINUE, NO_TABLE, encode
from mlserve.transport.message import HttpResponse

names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,40}", fullmatch=True).filter(
    lambda name: name.lower() not in {"connection", "content-length", "content-type", "date", "transfer-encoding"}
)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300)


def decoded(block: bytes, decoder: Decoder | None = None) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode("latin-1")) for name, value in (decoder or Decoder()).decode(block, raw=True)]


def over_http1(response: HttpResponse, *, head_only: bool) -> tuple[list[tuple[str, str]], bytes]:
    head, body = wire.encode(response, head_only=head_only)
    line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    fields = [tuple(text.split(": ", 1)) for text in lines]
    return [(":status", line.split()[1]), *[(name.lower(), value) for name, value in fields]], body


@given(
    st.sampled_from([200, 204, 206, 304, 400, 404, 405, 408, 413, 429, 431, 500, 503, 504]),
    st.binary(max_size=300),
    st.dictionaries(names, values, max_size=5),
    st.booleans(),
)
def test_fields_and_body_are_those_of_http1(status: int, body: bytes, headers: dict[str, str], head_only: bool) -> None:
    """A client that changes the protocol must not get another answer."""
    response = HttpResponse(status, body, headers=headers)
    block, sent = encode(response, head_only=head_only)
    expected, expected_body = over_http1(response, head_only=head_only)
    # The second may turn between the two.
    assert [field for field in decoded(block) if field[0] != "date"] == [f for f in expected if f[0] != "date"]
    assert sent == expected_body


def test_the_date_is_there() -> None:
    """Caches count from it."""
    assert dict(decoded(encode(HttpResponse(200), head_only=False)[0]))["date"].endswith(" GMT")


def test_no_block_leaves_anything_in_the_client_s_table() -> None:
    """A table of ours would be searched and held for every connection, as large as its client says."""
    decoder = Decoder()
    for count in range(50):
        decoded(encode(HttpResponse(200, headers={"X-Request-Id": str(count)}), head_only=False)[0], decoder)
    assert not decoder.header_table.dynamic_entries
    decoded(NO_TABLE + CONTINUE, decoder)
    assert decoder.header_table_size == 0
    assert decoded(CONTINUE) == [(":status", "100")]


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "b\r\nc: d"}, {"content-length": "0"}, {"Connection": "close"}, {":status": "200"}, {"a b": "c"}],
)
def test_headers_that_would_change_the_framing_are_refused(headers: dict[str, str]) -> None:
    """A handler that copies a header from a request must not write others."""
    with pytest.raises(ValueError, match="header"):
        encode(HttpResponse(200, headers=headers), head_only=False)
