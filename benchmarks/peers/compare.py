"""Rounds: each server in turn is started, asked every case in every way, and ended."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Final

import psutil

from benchmarks.machine import server_core
from benchmarks.peers.dialect import Dialect
from benchmarks.peers.environment import Unavailable, python_for
from benchmarks.peers.ours import MLSERVE
from benchmarks.peers.paced import latencies_us
from benchmarks.peers.peer import Peer, Place
from benchmarks.peers.results import Asked, Results
from benchmarks.peers.running import Running, running
from benchmarks.peers.workload import CACHED, check, write_model
from benchmarks.process import free_port
from benchmarks.wrk import ask, in_turn

_CHECKED_AFTER: Final = 5
"""Requests asked once more after the load: a server may be right until it is busy."""

_FAULTS: Final = (Unavailable, RuntimeError, OSError, HTTPException, subprocess.SubprocessError, psutil.Error)
"""Of a server that does not start, refuses, hangs or goes away."""


def compare(peers: Sequence[Peer], *, rounds: int, seconds: int) -> Results:
    """``seconds`` of each kind of load for each case. What cannot be measured is told on stderr and left out.

    Raises what stopped mlserve itself, without which there is nothing to compare.
    """
    results = Results(rounds)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        write_model(model)
        sample = _sample(model)
        for number in range(1, rounds + 1):
            for peer in peers:
                if peer.name in results.absent:
                    continue
                print(f"round {number} of {rounds}: {peer.name}", file=sys.stderr, flush=True)
                try:
                    _turn(peer, model, sample, seconds, results)
                except _FAULTS as error:
                    if peer is MLSERVE:
                        raise
                    results.absent[peer.name] = " ".join(str(error).split())
                    print(f"{peer.name}: {error}", file=sys.stderr, flush=True)
    return results


def _turn(peer: Peer, model: Path, sample: bytes, seconds: int, results: Results) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(python_for(peer.name, peer.requirements), model, Path(folder), free_port(), sample)
        with running(peer.launch(place), place.port, server_core()) as server:
            for name, dialect in peer.dialects.items():
                for case in peer.cases:
                    _measure(server, dialect, model, results.asked(name, case), seconds, only_first=peer.only_first)
            started = results.started(peer.name)
            started.seconds.append(server.start_s)
            started.memory_bytes.append(server.memory_bytes())


def _measure(server: Running, dialect: Dialect, model: Path, asked: Asked, seconds: int, *, only_first: bool) -> None:
    case = asked.case
    rows = case.requests()[:1] if only_first else case.requests()
    requests = [dialect.request(case.model, each) for each in rows]
    for each, request in zip(rows, requests, strict=True):
        check(model, each, dialect.answer(server.ask(request)))
    before = server.cpu_s()
    script = in_turn([request.wire() for request in requests])
    answered = ask(server.port, script, connections=case.connections, seconds=seconds)
    used_s = server.cpu_s() - before
    taken = latencies_us(server.port, [request.wire() for request in requests], pace=case.pace, seconds=seconds)
    for each, request in zip(rows[:_CHECKED_AFTER], requests, strict=False):
        check(model, each, dialect.answer(server.ask(request)))
    asked.per_second.append(answered.answers / answered.seconds)
    asked.cpu_us.append(used_s / answered.answers * 1e6)
    asked.latencies_us.extend(taken)


def _sample(model: Path) -> bytes:
    """One answer of mlserve's."""
    (dialect,) = MLSERVE.dialects.values()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(sys.executable), model, Path(folder), free_port(), b"")
        with running(MLSERVE.launch(place), place.port, server_core()) as server:
            return server.ask(dialect.request(CACHED.model, CACHED.requests()[0]))
