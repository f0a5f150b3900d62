"""What so many models cost a server besides answers: its start, its memory, its page of metrics."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Final

import psutil

from benchmarks.process import Server, ask

SCRAPES: Final = 3
_BEFORE_S: Final = 0.2
"""Hits that are asked before the first scrape, so that one always runs."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A server with ``models``. Times in seconds: to its start, for a page of metrics, and the longest that a hit
    waited while the page was made."""

    models: int
    start_s: float
    memory_bytes: int
    scrape_s: float
    others_waited_s: float


def look_at(server: Server, models: int, start_s: float, path: str) -> Holding:
    """``path`` is what others ask meanwhile."""
    memory = psutil.Process(server.pid).memory_info().rss
    waited: list[float] = []
    stop = threading.Event()
    other = threading.Thread(target=_ask_on, args=(server, path, waited, stop))
    other.start()
    try:
        time.sleep(_BEFORE_S)
        scrapes = [_took(server, "/metrics") for _ in range(SCRAPES)]
    finally:
        stop.set()
        other.join()
    return Holding(models, start_s, memory, median(scrapes), max(waited))


def _ask_on(server: Server, path: str, waited: list[float], stop: threading.Event) -> None:
    with closing(server.connect()) as connection:
        while not stop.is_set():
            began = time.perf_counter()
            ask(connection, path)
            waited.append(time.perf_counter() - began)


def _took(server: Server, path: str) -> float:
    began = time.perf_counter()
    server.ask(path)
    return time.perf_counter() - began
