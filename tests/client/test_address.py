"""A URL that cannot work would be found out by a confusing error much later; a secret in one would be shown."""

from __future__ import annotations

import pytest

from mlserve.client.address import DEFAULT_URL, server_url, without_secrets


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (DEFAULT_URL, DEFAULT_URL),
        ("http://host:1/", "http://host:1"),
        ("https://host", "https://host"),
        ("https://user:secret@host/ml/", "https://user:secret@host/ml"),
        ("http://[::1]:8086", "http://[::1]:8086"),
    ],
)
def test_takes_what_a_server_can_have(text: str, url: str) -> None:
    assert server_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "host:8086", "//host", "ftp://host", "http://", "http://:80", "http://h:x", "http://h:99999", "http://h:0",
     "http://h/?a=1", "http://h/#a", "http://[::1"],
)  # fmt: skip
def test_refuses_the_rest_and_says_what_it_wants(text: str) -> None:
    with pytest.raises(ValueError, match="expected http://host:port"):
        server_url(text)


def test_user_and_password_are_not_shown() -> None:
    assert without_secrets("https://user:s@cret@host:1/ml") == "https://host:1/ml"
    assert without_secrets("https://host:1/ml") == "https://host:1/ml"
