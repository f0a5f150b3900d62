"""Interfaces, rows and deployments made by hand, without source, loader or files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlserve.config.schema import ModelConfig
from mlserve.contracts.batching import BatchState
from mlserve.contracts.cache_view import CacheView
from mlserve.contracts.memory import Memory
from mlserve.serving.deployment import Deployment, Facts, Origin
from mlserve.types import Context, DType, InputField, Interface, Predict, Rows, Serving, Signature, TensorSpec

X = InputField("x", DType.FLOAT32, ())
Y = TensorSpec("y", DType.FLOAT32, (None,))


def interface(
    *inputs: InputField,
    outputs: tuple[TensorSpec, ...] | None = (Y,),
    serving: Serving = Serving.ROWS,
    dict_hash: int | None = 7,
) -> Interface:
    """What callers see; ``x`` to ``y``, float32 scalars, if nothing is said."""
    return Interface(inputs or (X,), outputs, serving, dict_hash)


def rows(**columns: Any) -> Rows:
    """Columns of equal length; lists of numbers as float32, strings and mixed values as objects."""
    arrays = {name: _array(column) for name, column in columns.items()}
    return Rows(arrays, len(next(iter(arrays.values()))))


def context(seconds: float = 30.0) -> Context:
    """A context whose deadline is ``seconds`` from now on the running loop."""
    return Context(asyncio.get_running_loop().time() + seconds)


async def double(asked: Rows, context: Context) -> Rows:
    """A ``Predict``: ``y`` is twice ``x``."""
    return Rows({"y": asked.columns["x"] * 2}, asked.count)


@dataclass
class FakeView:
    """Implements :class:`mlserve.contracts.cache_view.CacheView`: remembers what is recorded, and what it answers."""

    not_cached: str | None = "it names no DataStore"
    memory: Memory | None = None
    recordings: dict[bytes, Recorded] = field(default_factory=dict)
    hot: Sequence[str] = ()
    explained: list[Rows] = field(default_factory=list)
    unkey: Callable[[Sequence[str]], Rows | None] = lambda keys: rows(x=[float(key) for key in keys]) if keys else None
    asked_for: list[int] = field(default_factory=list)
    refuses: frozenset[str] = frozenset()

    def recall(self, request: bytes) -> Recorded | None:
        return self.recordings.get(request)

    def record(self, request: bytes, key: bytes, head: bytes, tail: bytes) -> None:
        self.recordings[request] = Recorded(head, tail, key, 863.4)

    async def explain(self, rows: Rows, deadline: float) -> list[dict[str, object]]:
        self.explained.append(rows)
        return [{"key": "k", "segments": [], "tiers": {}} for _ in range(rows.count)]

    def refused_keys(self, rows: Rows, cache_key: Sequence[str]) -> int:
        return sum(key in self.refuses for key in cache_key)

    def hot_keys(self, count: int) -> Sequence[str]:
        self.asked_for.append(count)
        return self.hot[:count]

    def rows_of(self, keys: Sequence[str]) -> Rows | None:
        return self.unkey(keys)


@dataclass
class Recorded:
    """Implements :class:`mlserve.contracts.cache_view.Recording`."""

    head: bytes
    tail: bytes
    key: bytes
    ttl_s: float


async def _nothing() -> None:
    """Closes a deployment that holds nothing."""


def deployment(
    predict: Predict = double,
    face: Interface | None = None,
    *,
    model_id: str = "m",
    generation: str = "0123456789abcdef" * 4,
    warnings: tuple[str, ...] = (),
    close: Callable[[], Awaitable[None]] = _nothing,
    cache: CacheView | None = None,
    batching: Callable[[], BatchState] | None = None,
) -> Deployment:
    """A version that serves ``predict``."""
    face = face or interface()
    return Deployment(
        model_id=model_id,
        generation=generation,
        origin=Origin(ModelConfig(id=model_id, url=f"{model_id}.onnx"), ()),
        interface=face,
        predict=predict,
        cache=cache or FakeView(),
        facts=Facts(
            backend="fake",
            runtime="fake 1.0 (cpu)",
            signature=Signature((), ()),
            size_bytes=1_500_000,
            load_seconds=0.25,
            loaded_at=0.0,
            warnings=warnings,
        ),
        close=close,
        batching=batching,
    )


def as_lists(answer: Rows) -> Mapping[str, list[Any]]:
    """Columns as plain lists, for comparing."""
    return {name: column.tolist() for name, column in answer.columns.items()}


def _array(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return column
    if all(isinstance(value, int | float) for value in column):
        return np.asarray(column, np.float32)
    array = np.empty(len(column), object)
    array[:] = column
    return array
