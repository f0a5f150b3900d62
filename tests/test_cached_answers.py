"""A cached answer would be another than the one that the model gives, if these failed: over the tests' ONNX models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlserve import registry
from mlserve.assemble import Assembler
from mlserve.cache.datastores import Datastores
from mlserve.cache.key import KeyMaker
from mlserve.config.schema import Config, ModelConfig
from mlserve.contracts.backend import LoadedModel
from mlserve.contracts.protocol import Call
from mlserve.inference.feed import Feed
from mlserve.inference.probe import run
from mlserve.observe.metrics import Metrics
from mlserve.protocols.eval import EvalProtocol
from mlserve.serving.interface import build_interface, serving_mode
from mlserve.serving.loader import Version
from mlserve.types import Array, DType, InputField, Interface, Rows
from mlserve.values.canonical import canonical_rows
from tests.support.deployments import context
from tests.support.zoo import Built
from tests.support.zoo.onnx import OnnxZoo

EXAMPLES = Path(__file__).parents[1] / "examples"


def identity(dtype: DType, *row: int | None) -> Callable[[Path], Built]:
    return lambda folder: OnnxZoo(folder).identity(dtype, (None, *row))


MODELS: dict[str, Callable[[Path], Built]] = {
    **{f"identity of {dtype}": identity(dtype) for dtype in sorted(OnnxZoo.dtypes)},
    "identity of vectors": identity(DType.FLOAT32, 3),
    "identity of long vectors": identity(DType.INT64, 40),
    "identity of vectors of text": identity(DType.STRING, 2),
    "scale": lambda folder: OnnxZoo(folder).scale(folder, 2.5),
    "three": lambda folder: OnnxZoo(folder).three(folder),
    "table": lambda folder: OnnxZoo(folder).table(folder),
    "penguins": lambda folder: Built(EXAMPLES / "models/penguins.onnx"),
    "digits": lambda folder: Built(EXAMPLES / "models/digits.onnx"),
}
WORDS = ["", "a", "a/b", "a%2Fb", "Dream", "Biscoe", "male", "female", "é"]


def values_of(field: InputField) -> list[Any]:
    """Few enough that rows repeat; those that are easily confused among them."""
    if field.dtype is DType.STRING:
        return WORDS
    if field.dtype.is_float:
        return [0.0, -0.0, 1.0, 1.04, 1.25, 1.26, np.nan, np.inf, -np.inf, 40.125]
    return [0, 1] if field.dtype is DType.BOOL else [0, 1, 2]


def some_rows(interface: Interface, count: int) -> list[Rows]:
    random = np.random.default_rng(7)

    def column(field: InputField) -> Array:
        shape = (1, *(dim or 1 for dim in field.shape or ()))
        picked = random.integers(0, len(values_of(field)), shape)
        some = np.empty(len(values_of(field)), object)
        some[:] = values_of(field)
        return some[picked].astype(field.dtype.numpy)

    return [Rows({field.name: column(field) for field in interface.inputs}, 1) for _ in range(count)]


class Served:
    """One model as it would be served; inputs that are floats are rounded if ``precision`` says so."""

    def __init__(self, built: Built, precision: int | None) -> None:
        self.closed = False
        self.model: LoadedModel = registry.resolve("backends", "onnx")().load(built.artifact, built.options)
        floats = [
            spec.name for spec in self.model.signature.inputs if spec.dtype.is_float and len(spec.shape or ()) < 2
        ]
        inputs = [{"Name": name, "Precision": precision} for name in floats] if precision else []
        model = {"ID": "m", "URL": "m.onnx", "DataStore": "d", "Inputs": inputs}
        tree = {"Models": [model], "Datastores": [{"ID": "d", "Cache": {"SizeMB": 8}}]}
        self.config: ModelConfig = Config.model_validate(tree).wanted_models()[0]
        serving = serving_mode(self.model.signature, self.config)
        self.interface = build_interface(self.model.signature, self.config, serving, self.model.lookups, dict_hash=7)

    def alone(self, rows: Rows) -> Rows | None:
        """What the model makes of a row for itself; ``None`` if it refuses it."""
        try:
            return run(
                self.model, Feed(self.model.signature, self.interface.serving), canonical_rows(rows, self.interface)
            )
        except Exception:
            return None

    @property
    def version(self) -> Version:
        return Version(self.config, self.model, self.interface, "0123456789abcdef" * 4, None)


@pytest.fixture(
    params=[(name, precision) for name in MODELS for precision in (None, 1)], ids=lambda it: f"{it[0]}-{it[1]}"
)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    name, precision = request.param
    made = Served(MODELS[name](tmp_path), precision)
    yield made
    if not made.closed:
        made.model.close()


def bits(answer: Rows) -> list[object]:
    """What a caller could tell apart, to the last bit."""
    return [repr(column.tolist()) if column.dtype == object else column.tobytes() for column in answer.columns.values()]


def test_equal_keys_have_equal_answers(served: Served) -> None:
    """Each row run alone: rows that share a key get the same bits, so either's answer may stand for the other's."""
    maker = KeyMaker(served.interface)
    answers: dict[str, list[object]] = {}
    for rows in some_rows(served.interface, 60):
        (key,) = maker.keys(canonical_rows(rows, served.interface))
        alone = served.alone(rows)
        answer = [] if alone is None else bits(alone)
        assert answers.setdefault(key, answer) == answer, key
    assert any(answers.values())


async def test_cached_answers_are_those_of_the_model_to_the_last_bit(served: Served) -> None:
    """Also as bytes on the wire: first computed, then from memory, beside the same model without a cache."""
    protocol = EvalProtocol()

    def wire(answer: Rows, rows: Rows) -> bytes:
        encoded = protocol.encode(answer, Call(rows, batch=False), served.interface)
        return encoded.head + encoded.tail

    assembler = Assembler(Metrics(), Datastores())
    cached = await assembler(served.version)
    assert cached.cache.not_cached is None
    hits = 0
    for rows in some_rows(served.interface, 60):
        alone = await asyncio.to_thread(served.alone, rows)
        for asked in (context(), context()):
            if alone is not None:
                answer = await cached.predict(rows, asked)
                assert bits(answer) == bits(alone)
                assert wire(answer, rows) == wire(alone, rows)
        hits += asked.cache_status.startswith("memory; hit")
    assert hits
    await cached.close()
    served.closed = True
