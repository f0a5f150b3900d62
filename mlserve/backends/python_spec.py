"""Signatures that a person writes: ``{"inputs": {"x": "float32[-1,4]"}, "outputs": {"y": "string[-1]"}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from mlserve.errors import LoadError
from mlserve.types import DType, Shape, Signature, TensorSpec

_SPEC = re.compile(r"\s*(\w+)\s*\[([^\[\]]*)\]\s*")
_ALIASES = {"str": DType.STRING, "float": DType.FLOAT32, "double": DType.FLOAT64, "int": DType.INT64}


def parse_signature(declared: object) -> Signature:
    """A :class:`Signature`, or a mapping with the members ``inputs`` and ``outputs`` of name to spec text, as one.

    Raises :class:`LoadError` that names the member at fault.
    """
    if isinstance(declared, Signature):
        return declared
    if not isinstance(declared, Mapping) or set(declared) != {"inputs", "outputs"}:
        came = f"the members {sorted(map(str, declared))}" if isinstance(declared, Mapping) else repr(declared)
        raise LoadError(f"signature: expected {{'inputs': {{name: spec}}, 'outputs': {{name: spec}}}}, not {came}")
    inputs, outputs = (_parse_specs(role, declared[role]) for role in ("inputs", "outputs"))
    for spec in inputs:
        if spec.dtype is DType.JSON:
            raise LoadError(f"signature: input {spec.name!r} is json, which only outputs can be")
    return Signature(inputs, outputs)


def parse_spec(name: str, text: str) -> TensorSpec:
    """``"float32[-1,4]"`` as a spec: a dtype, then dimensions in brackets. ``-1`` is free, ``[?]`` anything.

    Raises :class:`LoadError` that names the tensor and what was expected.
    """
    found = _SPEC.fullmatch(text)
    if found is None:
        raise LoadError(f"signature: {name!r} is {text!r}, expected a type and dimensions such as 'float32[-1,4]'")
    return TensorSpec(name, _parse_dtype(name, found[1]), _parse_shape(name, found[2].strip()))


def _parse_specs(role: str, specs: object) -> tuple[TensorSpec, ...]:
    if not isinstance(specs, Mapping):
        raise LoadError(f"signature: {role} is {specs!r}, expected a mapping of names to specs such as 'float32[-1,4]'")
    for name, text in specs.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise LoadError(f"signature: {role} has {name!r}: {text!r}, expected text such as 'x': 'float32[-1,4]'")
    return tuple(parse_spec(name, text) for name, text in specs.items())


def _parse_dtype(name: str, text: str) -> DType:
    if text in _ALIASES:
        return _ALIASES[text]
    try:
        return DType(text)
    except ValueError:
        near = get_close_matches(text, [dtype.value for dtype in DType], 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(DType)}"
        raise LoadError(f"signature: {name!r} has the unknown type {text!r}{hint}") from None


def _parse_shape(name: str, text: str) -> Shape | None:
    if text == "?":
        return None
    dims = [dim.strip() for dim in text.split(",")] if text else []
    for dim in dims:
        if dim != "-1" and not (dim.isascii() and dim.isdigit()):
            raise LoadError(f"signature: {name!r} has the dimension {dim!r}, expected a number, or -1 for a free one")
    return tuple(None if dim == "-1" else int(dim) for dim in dims)
