"""Names to plug-ins: one table per kind, imported on first use, extended by entry points.

To add a plug-in of our own, write its file and add its row here. A package of somebody else's registers under the
entry-point group ``mlserve.<kind>`` (``mlserve.backends``, for example). Nothing else in mlserve imports a plug-in.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

TABLES: Final[dict[str, dict[str, str]]] = {
    "backends": {
        "onnx": "mlserve.backends.onnx:OnnxBackend",
        "python": "mlserve.backends.python:PythonBackend",
        "tensorflow": "mlserve.backends.tensorflow:TensorFlowBackend",
    },
    "protocols": {
        "eval": "mlserve.protocols.eval:EvalProtocol",
    },
    "stores": {
        "aerospike": "mlserve.stores.aerospike:AerospikeStore",
        "lmdb": "mlserve.stores.lmdb:LmdbStore",
        "memory": "mlserve.stores.memory:MemoryStore",
        "redis": "mlserve.stores.redis:RedisStore",
        "rediss": "mlserve.stores.redis:RedisStore",
        "unix": "mlserve.stores.redis:RedisStore",
    },
}


def names(kind: str) -> list[str]:
    """Every registered name of ``kind``, ours first, each sorted; nothing is imported."""
    ours = sorted(TABLES[kind])
    return ours + sorted(_entry_points(kind).keys() - TABLES[kind].keys())


@cache
def resolve(kind: str, name: str) -> Any:
    """The class registered as ``name``. Raises :class:`LookupError` with the names there are."""
    target = TABLES[kind].get(name) or _entry_points(kind).get(name)
    if target is None:
        raise LookupError(f"no {kind[:-1]} {name!r}; there are: {', '.join(names(kind))}")
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


@cache
def _entry_points(kind: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=f"mlserve.{kind}")}
