"""The least that answers by the same model with the same libraries: what our processor time is measured beside.

It trusts what it is sent, knows one request, and remembers nothing: what is slower by it is so by the processor, the
interpreter or a library, and not by us.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import numpy as np
import onnxruntime
import orjson

from benchmarks.process import PENGUINS


class BareServer:
    """One model, and a protocol for each connection to it."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(PENGUINS), options, providers=["CPUExecutionProvider"])
        self._dtypes = {
            spec.name: np.object_ if spec.type == "tensor(string)" else np.float32
            for spec in self._session.get_inputs()
        }
        self._outputs = [spec.name for spec in self._session.get_outputs()]

    def connect(self) -> asyncio.BaseProtocol:
        """What the loop calls for each connection."""
        return _Connection(self)

    def answer(self, request: bytes) -> bytes:
        """Head and body for one whole POST."""
        asked: dict[str, Any] = orjson.loads(request.partition(b"\r\n\r\n")[2])
        count = asked.pop("batch_size", 1)
        tensors = {name: np.array(values, dtype=self._dtypes[name]).reshape(count, 1) for name, values in asked.items()}
        columns = [
            column.tolist() if isinstance(column, np.ndarray) else column
            for column in self._session.run(self._outputs, tensors)
        ]
        rows = [dict(zip(self._outputs, row, strict=True)) for row in zip(*columns, strict=True)]
        body = orjson.dumps({"status": "ok", "data": rows})
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class _Connection(asyncio.Protocol):
    def __init__(self, server: BareServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._server.answer(data))
