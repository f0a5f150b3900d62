"""The access log would lie about its share, or carry lines that callers wrote, if these failed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.observe.access import AccessLog, safe_request_id


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    logger = logging.getLogger("mlserve.access")
    before = logger.level
    yield
    logger.setLevel(before)


def write(log: AccessLog, **changed: Any) -> None:
    fields: dict[str, Any] = {
        "peer": "10.0.0.1", "method": "GET", "path": "/healthz", "status": 200, "seconds": 0.0015, "size": 15,
        "request_id": "",
    }  # fmt: skip
    log.write(**(fields | changed))


def test_a_line_as_people_read_it(caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, how it went, how long, how much, under which id."""
    write(AccessLog("all", 0.0), request_id="r1")
    write(AccessLog("all", 0.0))
    assert [record.getMessage() for record in caplog.records] == [
        "10.0.0.1 GET /healthz 200 1500 us 15 B r1",
        "10.0.0.1 GET /healthz 200 1500 us 15 B -",
    ]


def test_the_same_as_collectors_read_it(caplog: pytest.LogCaptureFixture) -> None:
    """Members that the JSON format puts beside the message."""
    write(AccessLog("all", 0.0), request_id="r1")
    fields = vars(caplog.records[0])
    expected = {
        "peer": "10.0.0.1", "method": "GET", "path": "/healthz", "status": 200, "microseconds": 1500, "bytes": 15,
        "request_id": "r1",
    }  # fmt: skip
    assert {name: fields[name] for name in expected} == expected


def test_all_and_nothing() -> None:
    """Without luck."""
    for log in (AccessLog("off", 1.0), AccessLog("sampled", 0.0)):
        assert not any(log.picks() for _ in range(100))
    for log in (AccessLog("all", 0.0), AccessLog("sampled", 1.0)):
        assert all(log.picks() for _ in range(100))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_sample_is_the_share_it_says(share: float) -> None:
    """Exactly those requests whose draw lies below it."""
    log, random = AccessLog("sampled", share, Random(7)), Random(7)
    assert [log.picks() for _ in range(1000)] == [random.random() < share for _ in range(1000)]


def test_off_leaves_the_logger_alone() -> None:
    """Another server in the process may write."""
    logger = logging.getLogger("mlserve.access")
    logger.setLevel(logging.WARNING)
    AccessLog("off", 1.0)
    assert logger.level == logging.WARNING
    AccessLog("sampled", 0.01)
    assert logger.level == logging.INFO


def test_a_path_is_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    """A path is percent-decoded: a caller could write lines of its own into the log."""
    write(AccessLog("all", 0.0), path="/a\r\n10.0.0.9 GET /b" + "c" * 500 + "\udcff")
    message = caplog.records[0].getMessage()
    assert len(message.splitlines()) == 1
    assert "/a\\r\\n10.0.0.9" in message
    assert len(message) < 350


@given(st.text())
def test_a_request_id_is_short_and_plain(text: str) -> None:
    """No line breaks, no quotes, nothing that a log or a header could stumble over; and safe stays as it is."""
    safe = safe_request_id(text)
    assert len(safe) == min(len(text), 128)
    assert safe.isascii()
    assert not set(safe) & set("\r\n\t \"'\\,;{}<>\x00")
    assert safe_request_id(safe) == safe


def test_usual_ids_pass_unchanged() -> None:
    """UUIDs, trace ids, base64, host names."""
    for text in ("6f1c-47b2", "00-4bf92f3577b34da6a3ce929d0e0e4736-01", "abc+/=", "node.1:8080@x_y"):
        assert safe_request_id(text) == text
