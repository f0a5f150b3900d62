"""A real ``mlserve`` process on a free port, for tests that try what users run."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

STARTS_WITHIN_S = 60.0


class Daemon:
    """Start it with ``with``; its log is kept line by line in ``log``."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.log: list[str] = []
        self._command = [sys.executable, "-m", "mlserve", "-c", str(config), "--port", "0", *arguments]
        self._moved = threading.Condition()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        line = self.wait_for_log(r"listening on (https?://\S+?),")
        self.url = line[1]
        self.port = int(self.url.rpartition(":")[2])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join()
            assert self.process.stderr is not None
            self.process.stderr.close()

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        """Status and JSON body of one GET."""
        return self._open(urllib.request.Request(self.url + path))

    def post(self, path: str, body: object) -> tuple[int, dict[str, object]]:
        """Status and JSON body of one POST."""
        return self._open(urllib.request.Request(self.url + path, data=orjson.dumps(body)))

    def wait_for_log(self, pattern: str, *, since: int = 0, within_s: float = STARTS_WITHIN_S) -> re.Match[str]:
        """The first line from index ``since`` on that matches; fails with the whole log if none comes in time."""
        deadline = time.monotonic() + within_s
        with self._moved:
            while True:
                for line in self.log[since:]:
                    if match := re.search(pattern, line):
                        return match
                ended = self.process.poll() is not None and not self._reader.is_alive()
                if ended or not self._moved.wait(max(0.0, deadline - time.monotonic())):
                    raise AssertionError(f"no line {pattern!r} in the log:\n" + "\n".join(self.log))

    def wait_until(self, condition: Callable[[], bool], within_s: float = 10.0) -> None:
        """Until ``condition`` holds; it is asked every few milliseconds, because it is about another process."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("condition did not hold in time; the log:\n" + "\n".join(self.log))
            time.sleep(0.01)

    def wait_ready(self) -> None:
        """Until ``/readyz`` says 200."""
        self.wait_until(lambda: self.get("/readyz")[0] == 200, STARTS_WITHIN_S)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._moved:
                self.log.append(line.rstrip("\n"))
                self._moved.notify_all()
        with self._moved:
            self._moved.notify_all()

    @staticmethod
    def _open(request: urllib.request.Request) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, orjson.loads(error.read())


@contextmanager
def running(config: Path, *arguments: str) -> Iterator[Daemon]:
    """A daemon that is ready."""
    with Daemon(config, *arguments) as daemon:
        daemon.wait_ready()
        yield daemon
