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


def measure() -> list[Figure]:
    one, many = body(PENGUIN), body({"batch_size": ROWS, **penguin_columns(ROWS)})
    return [
        _decoding("GET of one row", _request("GET", query=urlencode(PENGUIN)), one),
        _decoding("POST of one row", _request("POST", content=one), one),
        _decoding(f"POST of {ROWS:,} rows", _request("POST", content=many), many),
        _encoding("one row", 1),
        _encoding(f"{ROWS:,} rows", ROWS),
    ]


def _request(method: str, *, query: str = "", content: bytes = b"") -> HttpRequest:
    return HttpRequest(method, "/v1/api/model/penguins/eval", query, {}, content, "127.0.0.1", 0.0)


def _decoding(what: str, request: HttpRequest, json: bytes) -> Figure:
    return _figure(
        f"decode a {what}",
        lambda: PROTOCOL.decode(request, INTERFACE, max_rows=ROWS),
        lambda: orjson.loads(json),
        f"orjson.loads of {len(json):,} bytes",
    )


def _encoding(what: str, count: int) -> Figure:
    answer = _answer(count)
    call = Call(Rows({}, count), batch=count > 1)
    json = PROTOCOL.encode(answer, call, INTERFACE).body(1)
    values = orjson.loads(json)
    return _figure(
        f"encode {what}, labels and their probabilities",
        lambda: PROTOCOL.encode(answer, call, INTERFACE),
        lambda: orjson.dumps(values),
        f"orjson.dumps of {len(json):,} bytes",
    )


def _answer(count: int) -> Rows:
    source = np.random.default_rng(1)
    labels, maps = np.empty(count, object), np.empty(count, object)
    labels[:] = source.choice(SPECIES, count).tolist()
    maps[:] = [dict(zip(SPECIES, row, strict=True)) for row in source.random((count, len(SPECIES))).tolist()]
    return Rows({"label": labels, "probability": maps}, count)


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
