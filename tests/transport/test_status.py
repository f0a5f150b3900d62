"""Clients would get a status that says something else than the error, if these failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlserve.errors import BadRequest, InferenceFailed, Overloaded, RequestError, WrongMethod
from mlserve.transport.status import STATUS, error_response
from tests.support.eval_requests import said


def leaves(kind: type[RequestError]) -> Iterator[type[RequestError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from leaves(below)


def test_the_table_holds_every_code_and_no_other() -> None:
    """A new error without a row would end its request with a KeyError."""
    assert set(STATUS) == {kind.code for kind in leaves(RequestError)}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("bad_request", 400), ("unknown_model", 404), ("wrong_method", 405), ("slow_sender", 408), ("too_large", 413),
        ("overloaded", 429), ("inference_failed", 500), ("not_ready", 503), ("deadline_exceeded", 504),
    ],
)  # fmt: skip
def test_statuses_are_those_promised(code: str, status: int) -> None:
    """They are a promise to users."""
    assert STATUS[code] == status


def test_the_body_is_the_contract_s() -> None:
    """Members in this order: newer mly clients parse it."""
    response = error_response(BadRequest("field 'x': expected a number"), 0.00125)
    assert response.body == (
        b'{"status":"error","error":"field \'x\': expected a number","code":"bad_request","serviceTimeMcs":1250}'
    )
    assert (response.status, response.content_type, response.headers) == (400, "application/json", {})


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.2, "2"), (30.0, "30")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, header: str) -> None:
    """0 would be an invitation to hammer; a fraction is no HTTP."""
    assert error_response(Overloaded("full", retry_after_s=seconds)).headers["Retry-After"] == header


def test_allow_lists_the_verbs() -> None:
    """RFC 9110, 15.5.6."""
    assert error_response(WrongMethod("no", allow=("GET", "HEAD"))).headers["Allow"] == "GET, HEAD"


def test_words_that_are_not_text_still_make_json() -> None:
    """Bytes that were not UTF-8 stand in errors as lone surrogates, which JSON cannot hold."""
    assert said(error_response(BadRequest("field '\udcff\x00\n'")))["error"] == "field '?\x00\n'"


def test_an_incident_says_nothing_of_its_cause() -> None:
    """The cause hangs on the error, for the log alone."""
    error = InferenceFailed("the model failed", incident="1f")
    error.__cause__ = ValueError("secret")
    assert b"secret" not in error_response(error).body
