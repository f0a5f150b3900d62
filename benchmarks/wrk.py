"""As much as a server can answer: connections that ask again as soon as they have their answer (a closed loop, by wrk).

wrk is quick enough that its core waits for the server's. What it asks is a script in Lua, made here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.generator import generate_by

_DONE: Final = """
function done(summary)
  local e = summary.errors
  print(string.format("answers=%d us=%d faults=%d",
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
"""
_SAID: Final = re.compile(r"answers=(\d+) us=(\d+) faults=(\d+)")


@dataclass(frozen=True, slots=True)
class Answered:
    """How many answers came in how long, all of them 200."""

    answers: int
    seconds: float


def provide_wrk() -> None:
    """Have wrk, from the system's packages where we may. Raises :class:`SystemExit` with what to do where not."""
    if shutil.which("wrk") is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-qq", "--yes", "wrk"], check=False, stdout=subprocess.DEVNULL)
    if shutil.which("wrk") is None:
        raise SystemExit("wrk makes the load and is not installed: apt-get install wrk, or brew install wrk")


def in_turn(requests: Sequence[bytes]) -> str:
    """A script that asks all ``requests`` in turn, over and over."""
    asked = ",\n".join(_quoted(request) for request in requests)
    return f"""\
local asked = {{ {asked} }}
local turn = 0
function request()
  turn = turn % #asked + 1
  return asked[turn]
end
"""


def numbered(path: str, count: int, header: str = "") -> str:
    """A script that gets ``path`` with numbers below ``count`` behind it, each as likely.

    ``header`` is a line of its own, its end as Lua writes it.
    """
    return f"""\
function request()
  return "GET {path}" .. math.random(0, {count - 1}) .. " HTTP/1.1\\r\\nHost: localhost\\r\\n{header}\\r\\n"
end
"""


def ask(port: int, script: str, *, connections: int, seconds: int) -> Answered:
    """What ``script`` asks, for ``seconds`` at most. Raises :class:`RuntimeError` for an answer that is not 200."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="ascii") as file:
        file.write(script + _DONE)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", file.name]
        said = generate_by([*command, f"http://127.0.0.1:{port}/"], within_s=seconds + 60)
    found = _SAID.search(said)
    if found is None or int(found[3]):
        raise RuntimeError(f"wrk: {said}")
    return Answered(int(found[1]), int(found[2]) / 1e6)


def _quoted(wire: bytes) -> str:
    """A string of Lua, which takes any byte by its number."""
    return '"' + "".join(f"\\{byte:03d}" for byte in wire) + '"'
