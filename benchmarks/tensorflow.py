"""One row through a SavedModel: what our layers add to TensorFlow's own session callable, fed with arrays ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median

from benchmarks.figure import Figure, number
from benchmarks.process import ROOT
from mlserve.assemble import Assembler
from mlserve.backends.tensorflow import TensorFlowBackend, TensorFlowModel
from mlserve.cache.datastores import Datastores
from mlserve.config.schema import ModelConfig
from mlserve.contracts.backend import LoadOptions
from mlserve.inference.feed import Feed
from mlserve.observe.metrics import Metrics
from mlserve.serving.interface import build_interface
from mlserve.serving.loader import Version
from mlserve.serving.selftest import sample_rows
from mlserve.types import Context, Serving

ROUNDS = 15
CALLS = 300
MODEL = ROOT / "examples/models/penguins_keras"


def measure() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    model = TensorFlowBackend().load(MODEL, LoadOptions())
    assert isinstance(model, TensorFlowModel)
    config = ModelConfig(id="penguins_keras", url=str(MODEL))
    interface = build_interface(model.signature, config, Serving.ROWS, model.lookups, None)
    chain = await Assembler(Metrics(), Datastores())(Version(config, model, interface, "", None))
    rows = sample_rows(interface, None, 1)
    (tensors,) = Feed(model.signature, Serving.ROWS).tensors(rows)
    arrays = list(tensors.values())
    bare = model._call  # noqa: SLF001 # the very callable that the backend wraps

    async def predict() -> float:
        """Microseconds for each request of one caller, who asks once in each step of the loop, as over HTTP."""
        spent = 0.0
        for _ in range(CALLS):
            start = time.perf_counter()
            await chain.predict(rows, Context(time.monotonic() + 60))
            spent += time.perf_counter() - start
            await asyncio.sleep(0)
        return spent / CALLS * 1e6

    call_us, infer_us, predict_us = [], [], []
    for _ in range(ROUNDS):
        call_us.append(_each_us(lambda: bare(*arrays)))
        infer_us.append(_each_us(lambda: model.infer(tensors)))
        predict_us.append(await predict())
    await chain.close()
    beside = f"the callable alone: {number(median(call_us))} us"
    return [
        Figure("TensorFlow, one row: infer, more than its callable", _more(infer_us, call_us), "us", 60, beside),
        Figure("TensorFlow, one row: predict, more than its callable", _more(predict_us, call_us), "us", 60, beside),
    ]


def _more(ours: list[float], bare: list[float]) -> list[float]:
    return [mine - theirs for mine, theirs in zip(ours, bare, strict=True)]


def _each_us(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6
