"""A model of known cost, and a daemon that serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running

MODEL = """
import time

class Slow:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}

    def predict(self, inputs):
        time.sleep(COST_S * len(inputs["x"]))
        return {"y": inputs["x"] + 1}
"""
"""Sleeps and does not compute, so that the load has a processor for itself wherever the tests run."""

CONFIG = """
Endpoint: ENDPOINT
Models:
  - ID: m
    URL: python:slow.py:Slow
    Batch: {MaxBatchSize: 1, MaxEvaluatorConcurrency: 1}
"""

Serve = Callable[[float, str], AbstractContextManager[Daemon]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """``with serve(cost_s, endpoint) as daemon``: a row costs so many seconds, and one runs at a time."""

    @contextmanager
    def serving(cost_s: float, endpoint: str) -> Iterator[Daemon]:
        (tmp_path / "slow.py").write_text(MODEL.replace("COST_S", repr(cost_s)))
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG.replace("ENDPOINT", endpoint))
        with running(config) as daemon:
            yield daemon

    return serving
