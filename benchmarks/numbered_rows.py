"""Models to ask rows by number: each number has a key of its own, so there are as many as one likes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.process import PENGUINS
from mlserve.backends.onnx import OnnxBackend
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.types import Array, Rows
from tests.support.versions import write_version

Numbers = npt.NDArray[np.int64]
SLOW_S: Final = 0.001
"""What the slow model takes for each row, on a thread, while the loop goes on."""
ISLANDS: Final = np.array(("Biscoe", "Dream", "Torgersen"))
SEXES: Final = np.array(("female", "male"))


@dataclass(frozen=True, slots=True)
class Kind:
    """A model, and its rows as protocols decode them."""

    name: str
    load: Callable[[], LoadedModel]
    rows: Callable[[Numbers], Rows]


def _penguin_rows(numbers: Numbers) -> Rows:
    columns = {
        "island": ISLANDS[numbers % 3].astype(object),
        "sex": SEXES[numbers % 2].astype(object),
        "bill_length_mm": (32 + numbers % 280 / 10).astype(np.float32),
        "bill_depth_mm": (13 + numbers % 90 / 10).astype(np.float32),
        "flipper_length_mm": (170 + numbers % 62).astype(np.float32),
        "body_mass_g": numbers.astype(np.float32),
    }
    return Rows(columns, len(numbers))


def _number_rows(numbers: Numbers) -> Rows:
    return Rows({"x": numbers.astype(np.float32)}, len(numbers))


def _classifier() -> LoadedModel:
    return OnnxBackend().load(PENGUINS, LoadOptions())


def _adder() -> LoadedModel:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adds.onnx"
        write_version(file, 1)
        return OnnxBackend().load(file, LoadOptions())


class _Slow:
    """The classifier, on a machine that has a lot to compute."""

    def __init__(self) -> None:
        self._model = _classifier()
        self.signature = self._model.signature
        self.runtime = self._model.runtime
        self.deterministic = True
        self.lookups = self._model.lookups
        self.loop_safe = False
        self.close = self._model.close

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        time.sleep(SLOW_S * len(next(iter(inputs.values()))))
        return self._model.infer(inputs)


CLASSIFIER: Final = Kind("the classifier", _classifier, _penguin_rows)
"""Six inputs, and answers of a label and its probabilities."""
ADDER: Final = Kind("the model that adds", _adder, _number_rows)
"""One number in, two out: what is left is the cost of the cache."""
SLOW: Final = Kind("a model of 1 ms a row", _Slow, _penguin_rows)
