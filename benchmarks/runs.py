"""What a run costs besides the model: the way to a thread and back, and onnxruntime's own threads.

In processor time of the whole process, so that threads which wait by spinning count: requests come at a pace, as they
do to a server that is not saturated, and between them everybody should sleep.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Final

import onnxruntime
import uvloop

from benchmarks.figure import Figure, number
from benchmarks.process import ROOT
from mlserve.backends.onnx import OnnxBackend
from mlserve.config.schema import ModelConfig
from mlserve.contracts.backend import LoadOptions
from mlserve.inference.feed import Feed
from mlserve.inference.on_loop import OnLoop
from mlserve.inference.runner import Runner
from mlserve.serving.interface import build_interface
from mlserve.serving.selftest import sample_rows
from mlserve.types import Context, Rows, Serving

MODEL: Final = ROOT / "examples/models/digits.onnx"
ROUNDS: Final = 15
CALLS: Final = 300
PACED: Final = 100
PAUSE_S: Final = 0.001
MANY: Final = 64
"""Rows; onnxruntime splits a run among its threads only where there is enough to split."""


def measure() -> list[Figure]:
    return [*uvloop.run(_hops()), *_sessions()]


async def _hops() -> list[Figure]:
    rows = _rows(1)
    runners = [_runner(measured) for measured in (1, 0)]
    seconds: list[list[float]] = [[], []]
    processor: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for place, runner in enumerate(runners):
            before, start = time.process_time(), time.perf_counter()
            for _ in range(CALLS):
                await runner(rows, Context(time.monotonic() + 60))
            seconds[place].append((time.perf_counter() - start) / CALLS * 1e6)
            processor[place].append((time.process_time() - before) / CALLS * 1e6)
    for runner in runners:
        await runner.close()
    figures = []
    for what, (loop, thread) in (("time", seconds), ("processor time", processor)):
        more = [theirs - ours for ours, theirs in zip(loop, thread, strict=True)]
        beside = f"on the loop: {number(min(loop))} us"
        figures.append(
            Figure(f"a run of one row in a thread: {what}, more than on the loop", more, "us", beside=beside)
        )
    return figures


def _sessions() -> list[Figure]:
    """One thread, as we ask for; onnxruntime's own choice, a thread for each core, which wait by spinning."""
    rows = _rows(MANY)
    ours_us, theirs_us = [], []
    for _ in range(ROUNDS):
        ours = OnnxBackend().load(MODEL, LoadOptions())
        (tensors,) = Feed(ours.signature, Serving.ROWS).tensors(rows)
        ours_us.append(_paced_us(partial(ours.infer, tensors)))
        ours.close()
        theirs = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
        theirs_us.append(_paced_us(partial(theirs.run, None, tensors)))
        del theirs  # its threads would go on spinning in our turn
    beside = f"onnxruntime's own settings: {number(median(theirs_us))} us"
    return [Figure(f"a run of {MANY} rows each millisecond: processor time", ours_us, "us", beside=beside)]


def _paced_us(call: Callable[[], Any]) -> float:
    call()
    before = time.process_time()
    for _ in range(PACED):
        call()
        time.sleep(PAUSE_S)
    return (time.process_time() - before) / PACED * 1e6


def _runner(measured_rows: int) -> Runner:
    model = OnnxBackend().load(MODEL, LoadOptions())
    feed = Feed(model.signature, Serving.ROWS)
    return Runner("digits", model, feed, threads=1, max_queued_rows=100, on_loop=OnLoop("digits", measured_rows))


def _rows(count: int) -> Rows:
    model = OnnxBackend().load(MODEL, LoadOptions())
    config = ModelConfig(id="digits", url=str(MODEL))
    return sample_rows(build_interface(model.signature, config, Serving.ROWS, model.lookups, None), None, count)
