"""Keep what C libraries write to file descriptor 2 out of the log while they are imported.

Some write before any setting of theirs can reach them. The descriptor is process-wide, so every other line written to
it meanwhile (by other threads, which go on serving) is passed on at once.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock, Thread
from typing import Any

CHATTER = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:|.{0,30}\[[IWV]:onnxruntime:"
)
"""Information and warnings in the form of absl and of onnxruntime; their errors pass."""

_LAST_LINES_TIMEOUT_S = 1.0


def quiet_import(module: str) -> Any:
    """Import ``module`` without its chatter on stderr and without Python's warnings about its insides."""
    if module in sys.modules:
        return import_module(module)
    with quiet_stderr(CHATTER), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(module)


@contextmanager
def quiet_stderr(drop: re.Pattern[bytes] = CHATTER) -> Iterator[None]:
    """Within it, lines written to file descriptor 2 whose beginning matches ``drop`` vanish; others pass at once.

    Blocks may overlap, in any threads: the first diverts the descriptor, by its own ``drop``, and the last puts it
    back. So a quick import need not wait for a slow one.
    """
    _diversion.enter(drop)
    try:
        yield
    finally:
        _diversion.leave()


class _Diversion:
    """Descriptor 2 through a pipe, for as long as anybody is inside."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._stderr = -1
        self._relay: Thread | None = None

    def enter(self, drop: re.Pattern[bytes]) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._divert(drop)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._relay is not None:
                os.dup2(self._stderr, 2)
                # A child process started meanwhile holds the pipe open; the relay then lives, and serves it, as long.
                self._relay.join(_LAST_LINES_TIMEOUT_S)
                self._relay = None

    def _divert(self, drop: re.Pattern[bytes]) -> None:
        try:
            self._stderr = os.dup(2)
        except OSError:  # a daemon may have closed it; then there is nothing to keep clean
            return
        reader, writer = os.pipe()
        os.dup2(writer, 2)
        os.close(writer)
        self._relay = Thread(target=_relay, args=(reader, self._stderr, drop), name="mlserve-stderr", daemon=True)
        self._relay.start()


_diversion = _Diversion()


def _relay(reader: int, stderr: int, drop: re.Pattern[bytes]) -> None:
    with os.fdopen(reader, "rb", buffering=0) as source, os.fdopen(stderr, "wb", buffering=0) as target:
        rest = b""
        while chunk := source.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            _pass_on((line + b"\n" for line in lines if not drop.match(line)), target)
        if rest and not drop.match(rest):
            _pass_on([rest], target)


def _pass_on(lines: Any, target: Any) -> None:
    text = b"".join(lines)
    while text:
        text = text[target.write(text) :]
