"""A client would read a traceback, or an operator would find no cause, if these failed."""

from __future__ import annotations

import logging

import pytest

from mlserve.inference.failure import inference_failed


def test_the_cause_is_in_the_log_alone_under_an_id_that_the_client_has(caplog: pytest.LogCaptureFixture) -> None:
    """The two are joined by nothing else."""
    cause = ValueError("row 17 of /srv/customers.csv")
    with caplog.at_level(logging.ERROR):
        error = inference_failed("m", "the model", cause)
    assert error.incident in str(error)
    assert "customers" not in str(error)
    assert "ValueError" not in str(error)
    assert f"incident {error.incident}" in caplog.text
    assert "row 17 of /srv/customers.csv" in caplog.text


def test_every_incident_has_an_id_of_its_own() -> None:
    """A search in the log would find somebody else's."""
    assert len({inference_failed("m", "the model", ValueError()).incident for _ in range(50)}) == 50
