"""What a python model returned, as arrays of the dtypes and shapes that it declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlserve.types import Array, DType, Signature, TensorSpec


def coerce_outputs(signature: Signature, returned: object, rows: int | None) -> dict[str, Array]:
    """Every declared output as an array. ``rows`` is the length of the inputs' axis 0, if they share one.

    Lists become arrays and a scalar stands for all rows; a number may change its width if it keeps its value (floats
    may round), never its kind. Raises :class:`TypeError` or :class:`ValueError` that names the output.
    """
    if not isinstance(returned, Mapping):
        raise TypeError(f"predict returned {type(returned).__name__}, expected a dict of output names to arrays")
    missing = [spec.name for spec in signature.outputs if spec.name not in returned]
    if missing:
        raise ValueError(f"predict returned no output {missing[0]!r}; it returned {sorted(map(str, returned))}")
    unknown = sorted(map(str, returned.keys() - {spec.name for spec in signature.outputs}))
    if unknown:
        raise ValueError(f"predict returned {unknown[0]!r}, which is not among the declared outputs")
    return {spec.name: _coerce(spec, returned[spec.name], rows) for spec in signature.outputs}


def _coerce(spec: TensorSpec, value: object, rows: int | None) -> Array:
    if spec.dtype is DType.JSON:
        array = _plain_values(value)
    elif spec.dtype is DType.STRING:
        array = _strings(spec, value)
    else:
        array = _numbers(spec, value)
    return _shaped(spec, array, rows)


def _plain_values(value: object) -> Array:
    if isinstance(value, np.ndarray) and value.dtype == object:
        return value
    items = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value]
    array = np.empty(len(items), object)
    for index, item in enumerate(items):  # an assignment of the whole would take lists apart
        array[index] = item
    return array if isinstance(value, (list, tuple, np.ndarray)) else array.reshape(())


def _strings(spec: TensorSpec, value: object) -> Array:
    array = _array(spec, value, object)
    if array.size and not all(isinstance(item, (str, bytes)) for item in array.flat):
        other = next(item for item in array.flat if not isinstance(item, (str, bytes)))
        raise TypeError(f"output {spec.name!r} holds {type(other).__name__}, declared as {spec}")
    text = np.empty(array.size, object)
    text[:] = [item if isinstance(item, str) else item.decode("utf-8", "surrogateescape") for item in array.flat]
    return text.reshape(array.shape)


def _numbers(spec: TensorSpec, value: object) -> Array:
    wanted = spec.dtype.numpy
    array = _array(spec, value, None)
    if array.dtype == wanted:
        return array
    if not array.size and isinstance(value, list):
        return array.astype(wanted)
    if not _same_kind(array.dtype, spec.dtype):
        raise TypeError(f"output {spec.name!r} is {array.dtype}, declared as {spec}")
    with np.errstate(all="ignore"):  # a float too large for its dtype is infinite, as in any runtime
        cast = array.astype(wanted)
    if spec.dtype.is_integer and not np.array_equal(cast, array):
        raise ValueError(f"output {spec.name!r} holds values outside the range of {spec.dtype}")
    return cast


def _same_kind(have: np.dtype[Any], want: DType) -> bool:
    if want is DType.BFLOAT16:  # a kind of its own to numpy
        return have.kind in "iuf"
    if want.is_integer:
        return have.kind in "iu"
    return np.can_cast(have, want.numpy, "same_kind")


def _array(spec: TensorSpec, value: object, dtype: type | None) -> Array:
    try:
        return np.asarray(value, dtype)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"output {spec.name!r} does not make an array for {spec}: {error}") from error


def _shaped(spec: TensorSpec, array: Array, rows: int | None) -> Array:
    if spec.shape is None:
        return array
    if array.ndim == 0 and spec.shape:
        dims = (rows if spec.shape[0] is None else spec.shape[0], *spec.shape[1:])
        if None not in dims:
            return np.broadcast_to(array, [dim for dim in dims if dim is not None])
    fits = array.ndim == len(spec.shape) and all(
        want is None or got == want for got, want in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"output {spec.name!r} has the shape {list(array.shape)}, declared as {spec}")
    return array
