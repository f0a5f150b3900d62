"""A peer as a process, or a family of them, on one core."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.machine import pin
from benchmarks.peers.dialect import Request
from benchmarks.peers.environment import Unavailable
from benchmarks.peers.peer import Launch
from benchmarks.process import ROOT

STARTS_WITHIN_S: Final = 120.0
ENDS_WITHIN_S: Final = 15.0
_STEP_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Running:
    """One that serves. ``start_s`` is the time from its command to its first 200."""

    process: psutil.Process
    port: int
    start_s: float

    def cpu_s(self) -> float:
        """Processor time of the whole family so far, in user and kernel."""
        return sum(sum(member.cpu_times()[:2]) for member in self._family())

    def memory_bytes(self) -> int:
        """Resident memory of the whole family; what they share is counted once."""
        return sum(member.memory_full_info().pss for member in self._family())

    def ask(self, request: Request) -> bytes:
        """The body of the answer. Raises :class:`RuntimeError` unless its status is 200."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("POST", request.path, request.body, request.headers)
            response = connection.getresponse()
            body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{request.path}: {response.status} {body[:300]!r}")
        return body

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(launch: Launch, port: int, core: int | None) -> Iterator[Running]:
    """``launch``, from when it is ready. Raises :class:`Unavailable` with the last of what it said if it never is."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        with subprocess.Popen(
            launch.command,
            cwd=ROOT,
            env=os.environ | launch.environ,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                pin(process.pid, core)
                assert process.stdin is not None
                process.stdin.write(launch.stdin)
                process.stdin.close()
                while not _ready(port, launch.ready):
                    if process.poll() is not None or time.perf_counter() - began > STARTS_WITHIN_S:
                        said.seek(0)
                        raise Unavailable(
                            f"did not start: {' '.join(said.read().decode(errors='replace').split()[-60:])}"
                        )
                    time.sleep(_STEP_S)
                yield Running(psutil.Process(process.pid), port, time.perf_counter() - began)
            finally:
                _end(process)


def _ready(port: int, path: str) -> bool:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole family: some leave children behind when they are asked to go."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
