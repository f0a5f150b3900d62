"""Reading requests and writing answers of the eval protocol, beside orjson given the same bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson

from benchmarks.figure import Figure, compared, number
from benchmarks.workload import PENGUIN, body, penguin_columns
from mlserve.contracts.protocol import Call
from mlserve.protocols.eval import EvalProtocol
from mlserve.transport.message import HttpRequest
from mlserve.types import DType, InputField, Interface, Rows, Serving, TensorSpec

RUNS = 7
SECONDS = 0.05
ROWS = 1_000
SPECIES = ("Adelie", "Chinstrap", "Gentoo")
PROTOCOL = EvalProtocol()
INTERFACE = Interface(
    tuple(
        InputField(name, DType.STRING if isinstance(value, str) else DType.FLOAT32, ())
        for name, value in PENGUIN.items()
    ),
    (TensorSpec("label", DType.STRING, (None,)), TensorSpec("probability", DType.JSON, (None,))),
    Serving.ROWS,
    dict_hash=1,
)
"""Of the penguin classifier."""
VECTORS = Interface(
    (InputField("x", DType.FLOAT32, (4,)),), (TensorSpec("y", DType.FLOAT32, (None, 3)),), Serving.ROWS, dict_hash=1
)
"""Of a classifier with one tensor in and one out, as most networks are."""


def measure() -> list[Figure]:
    one, many = body(PENGUIN), body({"batch_size": ROWS, **penguin_columns(ROWS)})
    numbers = np.random.default_rng(2).integers(0, 1_000, (ROWS, 4)) / 100
    vector, vectors = body({"x": numbers[0].tolist()}), body({"batch_size": ROWS, "x": numbers.tolist()})
    return [
        _decoding("GET of one row", INTERFACE, _request("GET", query=urlencode(PENGUIN)), one),
        _decoding("POST of one row", INTERFACE, _request("POST", content=one), one),
        _decoding(f"POST of {ROWS:,} rows", INTERFACE, _request("POST", content=many), many),
        _decoding("POST of one vector of four", VECTORS, _request("POST", content=vector), vector),
        _decoding(f"POST of {ROWS:,} vectors of four", VECTORS, _request("POST", content=vectors), vectors),
        _encoding("one row, labels and their probabilities", INTERFACE, _labels(1)),
        _encoding(f"{ROWS:,} rows, labels and their probabilities", INTERFACE, _labels(ROWS)),
        _encoding("one vector of three", VECTORS, _vectors(1)),
        _encoding(f"{ROWS:,} vectors of three", VECTORS, _vectors(ROWS)),
    ]


def _request(method: str, *, query: str = "", content: bytes = b"") -> HttpRequest:
    return HttpRequest(method, "/v1/api/model/penguins/eval", query, {}, content, "127.0.0.1", 0.0)


def _decoding(what: str, interface: Interface, request: HttpRequest, json: bytes) -> Figure:
    return _figure(
        f"decode a {what}",
        lambda: PROTOCOL.decode(request, interface, max_rows=ROWS),
        lambda: orjson.loads(json),
        f"orjson.loads of {len(json):,} bytes",
    )


def _encoding(what: str, interface: Interface, answer: Rows) -> Figure:
    call = Call(Rows({}, answer.count), batch=answer.count > 1)
    json = PROTOCOL.encode(answer, call, interface).body(1)
    values = orjson.loads(json)
    return _figure(
        f"encode {what}",
        lambda: PROTOCOL.encode(answer, call, interface),
        lambda: orjson.dumps(values),
        f"orjson.dumps of {len(json):,} bytes",
    )


def _labels(count: int) -> Rows:
    source = np.random.default_rng(1)
    labels, maps = np.empty(count, object), np.empty(count, object)
    labels[:] = source.choice(SPECIES, count).tolist()
    maps[:] = [dict(zip(SPECIES, row, strict=True)) for row in source.random((count, len(SPECIES))).tolist()]
    return Rows({"label": labels, "probability": maps}, count)


def _vectors(count: int) -> Rows:
    return Rows({"y": np.random.default_rng(1).random((count, 3), np.float32)}, count)


def _figure(measured: str, ours: Callable[[], Any], other: Callable[[], Any], name: str) -> Figure:
    """The two take turns."""
    runs = [(_microseconds(ours), _microseconds(other)) for _ in range(RUNS)]
    mine, theirs = [run[0] for run in runs], [run[1] for run in runs]
    return Figure(measured, mine, "us", beside=f"{number(compared(mine, theirs))} times {name}")


def _microseconds(call: Callable[[], Any]) -> float:
    calls, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < SECONDS:
        call()
        calls += 1
    return passed / calls * 1e6
