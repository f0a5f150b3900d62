"""onnxruntime's types as mlserve's, and the values that its plain ``run`` cannot pass: bfloat16 and maps."""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import orjson

from mlserve.errors import LoadError
from mlserve.types import Array, DType, Shape, TensorSpec

_ELEMENTS = {
    "bool": DType.BOOL,
    "int8": DType.INT8,
    "int16": DType.INT16,
    "int32": DType.INT32,
    "int64": DType.INT64,
    "uint8": DType.UINT8,
    "uint16": DType.UINT16,
    "uint32": DType.UINT32,
    "uint64": DType.UINT64,
    "float16": DType.FLOAT16,
    "bfloat16": DType.BFLOAT16,
    "float": DType.FLOAT32,
    "double": DType.FLOAT64,
    "complex64": DType.COMPLEX64,
    "complex128": DType.COMPLEX128,
    "string": DType.STRING,
}
_TENSOR = re.compile(r"tensor\((\w+)\)")
_MAPS = re.compile(r"seq\(map\(\w+,\s*tensor\(\w+\)\)\)")


def input_spec(node: Any, info: Any) -> TensorSpec:
    """``node`` is the session's description of an input, ``info`` the file's. Raises :class:`LoadError` by name."""
    found = _TENSOR.fullmatch(node.type)
    if found is None or found[1] not in _ELEMENTS:
        raise LoadError(f"input {node.name!r} has the type {node.type}, which mlserve cannot carry")
    return TensorSpec(node.name, _ELEMENTS[found[1]], _shape(node, info))


def output_spec(node: Any, info: Any) -> TensorSpec:
    """As :func:`input_spec`; a sequence of maps (one per row) is ``json``."""
    if _MAPS.fullmatch(node.type):
        return maps_spec(node.name)
    found = _TENSOR.fullmatch(node.type)
    if found is None or found[1] not in _ELEMENTS:
        raise LoadError(f"output {node.name!r} has the type {node.type}, which mlserve cannot carry")
    return TensorSpec(node.name, _ELEMENTS[found[1]], _shape(node, info))


def maps_spec(name: str) -> TensorSpec:
    """An output that has a map in each row."""
    return TensorSpec(name, DType.JSON, (None,))


def maps_reader(node: Any) -> Callable[[list[dict[Any, Any]]], Array]:
    """From what a run gives for an output that is a sequence of maps, and no longer needs, to rows.

    Rows are dicts with text keys in an object array. A float32, which arrives widened to Python's float, becomes the
    one with the same shortest text: 0.26, not 0.25999999046325684.
    """
    return partial(_rows_of, text_keys="map(string," in node.type, float32="tensor(float)" in node.type)


def _rows_of(maps: list[dict[Any, Any]], *, text_keys: bool, float32: bool) -> Array:
    if float32:
        values = list(chain.from_iterable(map(dict.values, maps)))
        # A quarter of what numpy takes to read a list.
        left = iter(shortest(np.frombuffer(struct.pack(f"{len(values)}f", *values), np.float32)))
        for row in maps:
            for key in row:
                row[key] = next(left)
    rows = np.empty(len(maps), object)
    rows[:] = maps if text_keys else [dict(zip(map(str, row), row.values(), strict=True)) for row in maps]
    return rows


def shortest(values: Array) -> list[float]:
    """For each float32, the double whose shortest text is its own; all at once, since text costs most one by one.

    ``values`` has one axis, and no gaps.
    """
    texts = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    doubles: list[Any] = orjson.loads(texts)
    if b"null" in texts:  # NaN and infinities have no JSON
        return [value if double is None else double for value, double in zip(values.tolist(), doubles, strict=True)]
    return doubles


def wrap_bfloat16(array: Array) -> Any:
    """``array`` as an ``OrtValue``, copied only if not contiguous. It must outlive the run."""
    import onnx
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_numpy_with_onnx_type(np.asarray(array, order="C"), onnx.TensorProto.BFLOAT16)


def unwrap(value: Any, dtype: DType) -> Array:
    """A copy of an ``OrtValue``; onnxruntime itself gives no numpy array for bfloat16."""
    if dtype is not DType.BFLOAT16:
        array: Array = value.numpy()
        return array
    flat = np.frombuffer(ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes()), dtype.numpy)
    return flat.reshape(value.shape()).copy()


def _shape(node: Any, info: Any) -> Shape | None:
    # The session says [] both for a scalar and for a tensor whose rank nobody declared; the file tells them apart.
    if not node.shape and not (info is not None and info.type.tensor_type.HasField("shape")):
        return None
    return tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in node.shape)
