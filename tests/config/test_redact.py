"""No secret leaves by a log, an error or the page that shows the configuration."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.load import parse_config
from mlserve.config.redact import public_view, redact_url

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


def test_public_view_has_mlys_names_and_order() -> None:
    """Tools that read mly's configuration page would not find what they look for."""
    config = parse_config(
        """
Endpoint: {Port: 1, WriteTimeout: 2s, IdleTimeoutMs: 3000}
Models:
  - ID: m
    URL: https://u:secret@h/m?sig=secret
    UseDict: false
    DataStore: d
    Inputs: [{Name: f, Precision: 2, Default: .nan}]
    Batch: {BatchWait: 500us, BatchWaitMicros: 200}
    Stream: {URL: s3://k:secret@b, Credentials: {Secret: secret}}
    Test: {Single: {f: 1}}
    PollInterval: 2s
Datastores: [{ID: d, Connection: c, Cache: {SizeMB: 2}, L2: {Connection: c, TimeToLiveMs: 1000}}]
Connections: [{ID: c, URL: "redis://:se cret@h"}]
""".replace("se cret", "secret"),
        place="c.yaml",
        environ={},
    ).config
    live = {"m": {"Modified": {"Min": "x"}, "DictMeta": {"Hash": 7, "Error": "redis://:secret@h is down"}}}
    view = public_view(config, live=live)
    text = json.dumps(view, allow_nan=False)
    assert "secret" not in text
    assert list(view) == ["Models", "Connections", "Datastores", "Endpoint"]
    assert view["Models"] == [
        {
            "ID": "m",
            "URL": "https://***@h/m?sig=***",
            "Batch": {"BatchWait": 500_000, "BatchWaitMicros": 200},
            "Tags": ["serve"],
            "UseDict": False,
            "Inputs": [{"Name": "f", "Precision": 2, "Default": "nan"}],
            "DataStore": "d",
            "Stream": {"URL": "s3://***@b", "Credentials": {"Secret": "***"}},
            "Modified": {"Min": "x"},
            "DictMeta": {"Hash": 7, "Error": "redis://***@h is down"},
            "Test": {"Single": {"f": 1}, "Tolerance": 1e-5},
            "Signature": "serving_default",
            "Providers": ["cpu"],
            "Rows": True,
            "Required": True,
            "PollInterval": 2_000_000_000,
            "MaxBytes": 16 * 1024**3,
        }
    ]
    assert view["Connections"] == [{"ID": "c", "URL": "redis://***@h", "Port": 3000}]
    assert view["Datastores"] == [
        {
            "ID": "d",
            "Cache": {"SizeMB": 2},
            "Connection": "c",
            "TimeToLiveMs": 900_000,
            "RetryTimeMs": 5000,
            "L2": {"Connection": "c", "TimeToLiveMs": 1000},
        }
    ]
    endpoint = view["Endpoint"]
    assert isinstance(endpoint, dict)
    assert endpoint["WriteTimeout"] == 2_000_000_000
    assert endpoint["IdleTimeoutMs"] == 3000
