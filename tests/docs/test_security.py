"""The threat model names tests that there are, and makes no promise that deploy files break."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlserve.config.schema import EndpointConfig
from tests.support.markdown import ROOT, code, prose, rows_of

PAGE = ROOT / "docs" / "security.md"
THREATS = rows_of(PAGE, "Threat")


@pytest.mark.parametrize("threat", THREATS)
def test_every_promise_names_its_tests(threat: str) -> None:
    """A promise that nothing tests is a hope; a test that was moved leaves one behind."""
    named = code(THREATS[threat][1])
    assert named
    for name in named:
        assert "def test_" in Path(ROOT / name).read_text(encoding="utf-8")


def test_loopback_is_the_default() -> None:
    """The first promise of the page."""
    assert EndpointConfig().host == "127.0.0.1"


def test_nothing_unpickles() -> None:
    """The page says: nothing is unpickled, anywhere."""
    unpicklers = ("import pickle", "pickle.load", "import dill", "cloudpickle", "joblib", "allow_pickle=True")
    for module in (ROOT / "mlserve").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        assert not [word for word in unpicklers if word in text], module


def test_the_proxy_closes_operators_routes() -> None:
    """The page sends readers there: behind a proxy AllowedSubnet sees only the proxy."""
    assert "deploy/nginx.conf" in prose(PAGE)
    rule = (ROOT / "deploy" / "nginx.conf").read_text().partition("Operators' routes")[2]
    guarded = ["metrics", "v1/prometheus", "config", "health", "debug", "metric"]
    assert [route for route in guarded if route not in rule] == []
    assert "deny all" in rule
