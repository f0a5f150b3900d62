"""How each server wants to be asked over HTTP, and what its answers look like: pure functions of rows and bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from benchmarks.peers.workload import CLASSES, INPUT, OUTPUT, Array, Model

_BINARY: Final = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Request:
    """A POST. ``headers`` are those beyond the length of ``body``."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    def wire(self) -> bytes:
        """As it is sent."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        start = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(self.body)}\r\n\r\n"
        return start.encode() + self.body


@dataclass(frozen=True, slots=True)
class Dialect:
    """``answer`` takes the body of a 200 and gives rows of probabilities."""

    request: Callable[[Model, Array], Request]
    answer: Callable[[bytes], Array]


def _eval_request(model: Model, rows: Array) -> Request:
    # A number as callers write it, 5.1, and not all the digits of the nearest float32.
    values = _short(rows)
    asked = {INPUT: values[0]} if len(rows) == 1 else {"batch_size": len(rows), INPUT: values}
    return Request(f"/v1/api/model/{model.value}/eval", orjson.dumps(asked))


def _eval_answer(body: bytes) -> Array:
    data = orjson.loads(body)["data"]
    return _array([row[OUTPUT] for row in (data if isinstance(data, list) else [data])])


def _v2_request(model: Model, rows: Array) -> Request:
    tensor = {"name": INPUT, "shape": rows.shape, "datatype": "FP32", "data": _short(rows)}
    return Request(_v2_path(model), orjson.dumps({"inputs": [tensor]}))


def _v2_answer(body: bytes) -> Array:
    (output,) = orjson.loads(body)["outputs"]
    return _array(output["data"]).reshape(-1, CLASSES)


def _binary_request(model: Model, rows: Array) -> Request:
    raw = rows.tobytes()
    tensor = {"name": INPUT, "shape": rows.shape, "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", _BINARY: str(len(head))}
    return Request(_v2_path(model), head + raw, headers)


def _binary_answer(body: bytes) -> Array:
    # The length of the JSON stands in a header of the answer, but what it says of the tensor tells as much.
    size = int(body.split(b'"binary_data_size":', 1)[1].split(b"}", 1)[0])
    return np.frombuffer(body[-size:], np.float32).reshape(-1, CLASSES)


def _plain_request(model: Model, rows: Array) -> Request:
    return Request("/predict", orjson.dumps({INPUT: _short(rows)}))


def _plain_answer(body: bytes) -> Array:
    return _array(orjson.loads(body)[OUTPUT])


def _v2_path(model: Model) -> str:
    return f"/v2/models/{model.value}/infer"


def _short(rows: Array) -> list[Any]:
    values: list[Any] = rows.astype(np.float64).round(2).tolist()
    return values


def _array(values: list[Any]) -> Array:
    return np.array(values, np.float32)


EVAL: Final = Dialect(_eval_request, _eval_answer)
V2: Final = Dialect(_v2_request, _v2_answer)
"""The Open Inference Protocol, https://github.com/kserve/open-inference-protocol, in JSON."""
V2_BINARY: Final = Dialect(_binary_request, _binary_answer)
"""The same with Triton's extension for tensors as bytes: docs/protocol/extension_binary_data.md of its server."""
PLAIN: Final = Dialect(_plain_request, _plain_answer)
"""What a LitServe program makes of it: the rows in, the rows out."""
