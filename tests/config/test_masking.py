"""No secret leaves by a log, an error or the page that shows the configuration."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.masking import redact_url

MARK = "Zq9"
PASSWORDS = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "@:/?#&=%+'\"<>,;[]{}|\\^`!$*()~.-_é"), max_size=20
).map(lambda text: MARK + text + MARK)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:pw@h:6379/0", "redis://***@h:6379/0"),
        ("redis://user:p@ss/w:rd@h/0", "redis://***@h/0"),
        ("https://token@h/x", "https://***@h/x"),
        ("https://h/x?a=1&X-Amz-Signature=abc&b=2", "https://h/x?a=1&X-Amz-Signature=***&b=2"),
        ("https://h/x?sig=abc", "https://h/x?sig=***"),
        ("https://h/x?design=1&version=2", "https://h/x?design=***&version=2"),
        ("zip://m.onnx::https://u:p@h/a.zip?token=t", "zip://m.onnx::https://***@h/a.zip?token=***"),
        ("cannot connect to redis://u:p@h: refused", "cannot connect to redis://***@h: refused"),
        ("a https://u:p@h/x b s3://k:s@bucket/y c", "a https://***@h/x b s3://***@bucket/y c"),
        ("s3://bucket/folder/model.onnx", "s3://bucket/folder/model.onnx"),
        ("mail someone@example.org about file.py:function", "mail someone@example.org about file.py:function"),
        ("", ""),
    ],
)
def test_redact(text: str, expected: str) -> None:
    """A secret would show, or a harmless URL would become useless."""
    assert redact_url(text) == expected
    assert redact_url(expected) == expected


@given(
    password=PASSWORDS, user=st.sampled_from(["", "user"]), around=st.sampled_from(["", "failed: ", "zip://a::", "('"])
)
def test_no_password_leaks(password: str, user: str, around: str) -> None:
    """A password with characters that should have been escaped would show, in part or whole."""
    assert MARK not in redact_url(f"{around}redis://{user}:{password}@host:6379/0 and more")


@given(
    value=PASSWORDS.map(lambda text: text.replace("&", "")),
    name=st.sampled_from(["password", "access_token", "X-Amz-Credential", "AWSAccessKeyId", "sig", "api-key", "auth"]),
)
def test_no_parameter_leaks(value: str, name: str) -> None:
    """A token in a query string would show."""
    assert MARK not in redact_url(f"GET https://host/path?x=1&{name}={value}&y=2 failed")


@pytest.mark.parametrize("part", ["a", "a://", "@", "?", "::a://", "://@", "?key=", ";a"])
def test_time_is_linear(part: str) -> None:
    """A client could stop the server with a long path that ends up in a log line."""
    redact_url("x" + part * 200_000)
