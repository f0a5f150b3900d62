"""What operators read at night is true: lines of the log exist, metrics exist, times add up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from mlserve.config.schema import EndpointConfig
from tests.support.markdown import ROOT, code, prose, rows_of
from tests.support.stopping import longest_stop_s

PAGE = ROOT / "docs" / "operations.md"
LOGGING = {"debug", "info", "warning", "error", "exception", "log"}


def logged() -> Iterator[str]:
    """Every text that some module gives to a logger."""
    for module in (ROOT / "mlserve").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOGGING:
                for argument in node.args[:2]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield argument.value


def words(line: str) -> str:
    """``line`` without values and punctuation: a value is ``%s`` in code and ``…`` on the page."""
    return " ".join(re.sub(r"%[\d.]*[a-z]|\W", " ", line).split())


WORDS = {words(line) for line in logged()}


@pytest.mark.parametrize("line", [code(cell)[0] for cell in rows_of(PAGE, "Line")])
def test_documented_lines_are_logged(line: str) -> None:
    """Somebody looks for the words of the page in a log that says it otherwise."""
    fixed = words(re.sub(r"^… (serves|replaced):", "…", line))
    assert any(known.startswith(fixed) for known in WORDS), f"{fixed!r} is none of {sorted(WORDS)}"


def test_the_comparison_of_lines_can_fail() -> None:
    """What nobody logs is found out."""
    assert not any(known.startswith(words("… has been singing for … s")) for known in WORDS)


def test_metrics_of_the_page_exist() -> None:
    named = set(re.findall(r"\bmlserve_\w+", PAGE.read_text(encoding="utf-8")))
    known = {code(cell)[0] for cell in rows_of(ROOT / "docs" / "metrics.md", "Metric")}
    assert {name for name in named if name not in known} == set()


def test_the_longest_stop_is_the_one_that_the_page_adds_up() -> None:
    """Supervisors are set by this sentence."""
    (seconds,) = re.findall(r"\+ 6 s, (\d+) s by default", prose(PAGE))
    assert int(seconds) == longest_stop_s(EndpointConfig())


def test_named_endpoint_times_are_the_defaults() -> None:
    """Proxies are set by these numbers."""
    text = prose(PAGE)
    endpoint = EndpointConfig()
    assert f"`IdleTimeoutMs` ({endpoint.idle_timeout_ms.total_seconds():.0f} s)" in text
    assert f"`WriteTimeoutMs` ({endpoint.write_timeout_ms.total_seconds():.0f} s)" in text
    assert f"`BufferSize` ({endpoint.buffer_size >> 20} MiB)" in text
