"""A caller that catches ``Overloaded`` must not miss one because it came over a network."""

from __future__ import annotations

import pytest

from mlserve import errors
from mlserve.client.faults import raised_by_server
from mlserve.errors import MlserveError, RemoteError, RequestError


def leaves(kind: type[RequestError]) -> list[type[RequestError]]:
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


OURS = [leaf for leaf in leaves(RequestError) if leaf.__module__ == errors.__name__]


@pytest.mark.parametrize("leaf", OURS)
def test_every_error_of_a_server_is_itself_again(leaf: type[RequestError]) -> None:
    told = raised_by_server(RemoteError("why", status=400, code=leaf.code, retry_after_s=3.0))
    assert type(told) is leaf
    assert str(told) == "why"
    assert told.retry_after_s == 3.0


@pytest.mark.parametrize("code", ["", "internal", "new_in_next_version"])
def test_what_has_no_class_stays_what_came(code: str) -> None:
    """A gateway's 502, or a newer server."""
    error = RemoteError("why", status=502, code=code)
    told: MlserveError = raised_by_server(error)
    assert told is error
