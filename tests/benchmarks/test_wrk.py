"""Scripts for wrk: what they ask is what is measured."""

from __future__ import annotations

import re

from benchmarks.wrk import in_turn, numbered


def test_requests_are_whatever_bytes_they_are() -> None:
    """A quote or a newline in a body would end the string of Lua, and the measurement."""
    request = b'POST / HTTP/1.1\r\n\r\n{"a": "\\\xff"}'
    (quoted,) = re.findall(r'asked = \{ "(.*)" \}', in_turn([request]))
    assert bytes(int(byte) for byte in quoted.split("\\")[1:]) == request


def test_numbers_stay_below_the_count() -> None:
    """A key that is not in memory would be computed, and called a hit."""
    script = numbered("/eval?x=", 1000, "A: b\\r\\n")
    assert '"GET /eval?x=" .. math.random(0, 999) .. " HTTP/1.1' in script
    assert "Host: localhost\\r\\nA: b\\r\\n\\r\\n" in script
