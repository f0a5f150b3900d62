"""The configuration is shown by mly's names, and without its secrets."""

from __future__ import annotations

import json

import orjson

from mlserve.config.load import parse_config
from mlserve.config.redact import public_view


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
Connections: [{ID: c, URL: "redis://:secret@h"}]
""",
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
            "Reload": {"WarmRows": 10_000, "WarmTimeMs": 5000},
            "PollInterval": 2_000_000_000,
            "MaxBytes": 16 * 1024**3,
        }
    ]
    assert view["Connections"] == [{"ID": "c", "URL": "redis://***@h"}]
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


def test_values_that_json_cannot_hold_are_text() -> None:
    """One odd value in a self-test would make the whole page fail."""
    values = "{a: .inf, b: [-.inf], c: 18446744073709551616, d: 18446744073709551615, e: '${E}'}"
    text = f"Models: [{{ID: m, URL: m, Test: {{Single: {values}}}}}]"
    view = public_view(parse_config(text, place="c.yaml", environ={"E": "caf\udce9"}).config)
    models = orjson.loads(orjson.dumps(view))["Models"]
    assert models[0]["Test"]["Single"] == {
        "a": "inf",
        "b": ["-inf"],
        "c": "18446744073709551616",
        "d": 18446744073709551615,
        "e": "caf?",
    }


def test_repr_hides_secrets() -> None:
    """A configuration in a log line or a failing assertion would show its passwords."""
    text = "Models: [{ID: m, URL: 'https://u:secret@h/m'}]\nConnections: [{ID: c, URL: 'redis://:secret@h'}]"
    shown = repr(parse_config(text, place="c.yaml", environ={}))
    assert "***@h" in shown
    assert "secret" not in shown
