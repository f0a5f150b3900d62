"""The proxies' times fit the server's: nobody closes under a request, nobody gives up before the server does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlserve.config.schema import EndpointConfig

DEPLOY = Path(__file__).parents[2] / "deploy"
ENDPOINT = EndpointConfig()
IDLE_S = ENDPOINT.idle_timeout_ms.total_seconds()
ANSWER_S = ENDPOINT.request_timeout.total_seconds()


def setting(name: str, file: str) -> str:
    """What ``file`` says behind ``name``, which it says once."""
    (value,) = re.findall(rf"^\s*{name}\s+([^;\n]+)", (DEPLOY / file).read_text(), re.MULTILINE)
    return value.strip()


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize(
    ("file", "name"), [("haproxy.cfg", "timeout http-keep-alive"), ("nginx.conf", "keepalive_timeout")]
)
def test_the_proxy_ends_idle_connections_first(file: str, name: str) -> None:
    """The other way round, a request now and then meets a connection that was just closed."""
    assert seconds(setting(name, file)) < IDLE_S


@pytest.mark.parametrize(("file", "name"), [("haproxy.cfg", "timeout server"), ("nginx.conf", "proxy_read_timeout")])
def test_the_proxy_waits_for_the_servers_own_504(file: str, name: str) -> None:
    """The server counts what it gave up; what a proxy gave up it does not know of."""
    assert seconds(setting(name, file)) > ANSWER_S


def test_haproxy_notices_within_the_wait_that_its_head_names() -> None:
    """Instances that close before the proxy has noticed refuse connections."""
    check = setting("default-server", "haproxy.cfg")
    every, fails = (int(re.findall(rf"\b{name} (\d+)", check)[0]) for name in ("inter", "fall"))
    told = re.findall(r"inter x fall \+ timeout check: (\d+) s here", (DEPLOY / "haproxy.cfg").read_text())
    assert [every * fails + int(seconds(setting("timeout check", "haproxy.cfg")))] == list(map(int, told))
    assert setting("option httpchk", "haproxy.cfg") == "GET /readyz"


def test_a_prediction_may_be_asked_of_the_other_instance() -> None:
    """An instance that starts answers 503, one that stops refuses; with POST, neither is repeated unless said."""
    assert {"conn-failure", "empty-response", "503"} <= set(setting("retry-on", "haproxy.cfg").split())
    assert {"error", "http_503", "non_idempotent"} <= set(setting("proxy_next_upstream", "nginx.conf").split())


def test_one_limit_of_body_size() -> None:
    assert setting("client_max_body_size", "nginx.conf") == f"{ENDPOINT.buffer_size >> 20}m"
