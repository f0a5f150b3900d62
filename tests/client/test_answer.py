"""Whatever a server says becomes a prediction or an error that a person can read, never something in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from mlserve.client.answer import read_answer
from mlserve.client.transport import HttpAnswer
from mlserve.errors import BadAnswer, RemoteError

PLACE = "http://there:1"


def answer(status: int, body: bytes, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, "Reason", CIMultiDict(headers), body)


def test_a_prediction_is_its_data_and_the_version_that_gave_it() -> None:
    body = b'{"status":"ok","dictHash":-9223372036854775807,"serviceTimeMcs":3,"data":{"y":1.5}}'
    result = read_answer(answer(200, body), PLACE)
    assert (result.data, result.dict_hash, result.body) == ({"y": 1.5}, -9223372036854775807, body)


def test_a_model_without_dictionary_has_no_hash() -> None:
    assert read_answer(answer(200, b'{"status":"ok","data":[]}'), PLACE).dict_hash is None


def test_an_error_keeps_status_code_text_and_when_to_come_back() -> None:
    body = b'{"status":"error","error":"too many rows wait","code":"overloaded"}'
    with pytest.raises(RemoteError, match=r"^too many rows wait$") as raised:
        read_answer(answer(429, body, **{"retry-after": "3"}), PLACE)
    assert (raised.value.status, raised.value.code, raised.value.retry_after_s) == (429, "overloaded", 3.0)


def test_an_error_with_status_200_is_an_error() -> None:
    """mly's servers answer so."""
    with pytest.raises(RemoteError, match="no such field"):
        read_answer(answer(200, b'{"status":"error","error":"no such field"}'), PLACE)


@pytest.mark.parametrize("after", ["", "soon", "-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 5000, "\u0663"])
def test_a_strange_retry_after_is_none(after: str) -> None:
    with pytest.raises(RemoteError) as raised:
        read_answer(answer(503, b"", **{"Retry-After": after}), PLACE)
    assert raised.value.retry_after_s is None


def test_a_gateway_without_a_server_is_told_with_its_status() -> None:
    with pytest.raises(RemoteError, match=r"^http://there:1 answered 502 Reason$") as raised:
        read_answer(answer(502, b"<html>Bad Gateway"), PLACE)
    assert (raised.value.status, raised.value.code) == (502, "")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"status":"ok"}'),
        (200, b'{"data":1}'),
        (301, b""),
        (204, b""),
    ],
)
def test_what_is_no_prediction_asks_whether_it_is_an_mlserve(status: int, body: bytes) -> None:
    with pytest.raises(BadAnswer, match="is it an mlserve"):
        read_answer(answer(status, body), PLACE)


def test_a_text_is_one_line_that_cannot_steer_a_terminal() -> None:
    body = b'{"status":"error","error":"a\\n\\u001b[2Jb \\u0085c","code":5}'
    with pytest.raises(RemoteError) as raised:
        read_answer(answer(400, body), PLACE)
    assert str(raised.value) == "a \N{REPLACEMENT CHARACTER}[2Jb c"


@given(st.integers(100, 599), st.binary() | st.sampled_from([b'{"error":1}', b'{"status":{}}', b'{"data":null}']))
def test_nothing_else_ever_comes_out(status: int, body: bytes) -> None:
    with pytest.raises((BadAnswer, RemoteError)):
        read_answer(answer(status, body), PLACE)
