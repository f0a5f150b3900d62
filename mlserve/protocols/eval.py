"""The protocol of mly: ``/v1/api/model/<id>/eval``, a query or a JSON object of columns in, JSON out.

``batch_size`` and ``cache_key`` are reserved: a model whose input has one of these names cannot be sent that input,
which is then missing unless it has a ``Default``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from mlserve.contracts.protocol import Call, Encoded, WireRequest
from mlserve.errors import BadRequest
from mlserve.protocols import json_text
from mlserve.protocols.answer import data_json
from mlserve.protocols.one_matrix import matrix_rows
from mlserve.protocols.query import RESERVED, rows_from_query
from mlserve.types import Interface, Rows
from mlserve.values import example, rows_from_values, shown

_PREFIX: Final = "/v1/api/model/"
_SUFFIX: Final = "/eval"


class EvalProtocol:
    """``GET`` and ``HEAD`` ask for one row by a query, ``POST`` for one row or a batch by a body."""

    name: ClassVar[str] = "eval"
    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD", "POST")
    content_type: ClassVar[str] = "application/json"

    def match(self, path: str) -> str | None:
        """The model id of ``/v1/api/model/<id>/eval``."""
        if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
            return None
        model = path[len(_PREFIX) : -len(_SUFFIX)]
        return model if model and "/" not in model else None

    def decode(self, request: WireRequest, interface: Interface, *, max_rows: int) -> Call:
        """As the contract; ``cache_key`` is dropped unless it is one string per row."""
        _check_reserved(interface)
        if request.method in ("GET", "HEAD"):
            return Call(rows_from_query(interface, request.query), batch=False)
        if (matrix := matrix_rows(request.body, interface, max_rows)) is not None:
            return Call(matrix, batch=True)
        values = self._object(request, interface)
        sized = "batch_size" in values
        batch_size = values.pop("batch_size", None)
        cache_key = values.pop("cache_key", None)
        if sized and batch_size is None:
            raise BadRequest(f"batch_size: expected a whole number from 1 to {max_rows}, got null")
        rows, batch = rows_from_values(interface, values, batch_size, max_rows)
        return Call(rows, batch, _cache_key(cache_key, rows.count))

    def encode(self, answer: Rows, call: Call, interface: Interface) -> Encoded:
        """As the contract. Members in mly's order, ``dictHash`` left out for a model without dictionary."""
        data = data_json(answer, interface, batch=call.batch)
        return Encoded(interface.derived(_head), b',"data":' + data.json + b"}", data.non_finite)

    def _object(self, request: WireRequest, interface: Interface) -> dict[str, Any]:
        if not request.body or request.body.isspace():
            raise BadRequest(f"the body is empty: send a JSON object such as {example(interface)}")
        values = json_text.loads(request.body)
        if type(values) is not dict:
            raise BadRequest(f"expected a JSON object such as {example(interface)}, got {shown(values)}")
        return values


def _head(interface: Interface) -> bytes:
    dict_hash = "" if interface.dict_hash is None else f'"dictHash":{interface.dict_hash},'
    return f'{{"status":"ok",{dict_hash}"serviceTimeMcs":'.encode()


def _check_reserved(interface: Interface) -> None:
    for name in interface.derived(_unreachable):
        raise BadRequest(
            f"failed to build request due to missing fields: [{name}]; eval reserves the name {name}, so this "
            "model needs another protocol, or a Default for that input",
            field=name,
        )


def _unreachable(interface: Interface) -> tuple[str, ...]:
    """Inputs that every request must give and none can."""
    return tuple(
        [field.name for field in interface.by_name.values() if field.name in RESERVED and not field.has_default]
    )


def _cache_key(value: object, count: int) -> tuple[str, ...] | None:
    keys = [value] if type(value) is str else value
    if type(keys) is list and len(keys) == count and all(type(key) is str for key in keys):
        return tuple(keys)
    return None
