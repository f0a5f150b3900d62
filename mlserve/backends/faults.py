"""Whose fault a failure is, and in how few words it can be told.

Called on the failing path only, so that a run that goes well pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlserve.errors import BadRequest, LoadError
from mlserve.types import Array, DType, Signature, TensorSpec

_LONGEST = 300


def brief(text: object) -> str:
    """The first line of ``text`` (an exception or what it said), at most 300 characters."""
    lines = str(text).strip().splitlines()
    line = lines[0].strip() if lines else "no reason given"
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def load_failure(artifact: Path, text: object) -> LoadError:
    """A :class:`LoadError` that names ``artifact`` and briefly says ``text``, without the folder of our copy."""
    scrubbed = str(text).replace(f"{artifact}/", "").replace(f"{artifact.parent}/", "")
    return LoadError(f"{artifact.name} cannot be loaded: {brief(scrubbed)}")


def mismatch(signature: Signature, inputs: Mapping[str, Array]) -> BadRequest | None:
    """The first input that is absent, unknown, or of another dtype or shape than ``signature`` says, if there is one.

    A runtime that failed with such inputs failed because of them.
    """
    for spec in signature.inputs:
        if spec.name not in inputs:
            return BadRequest(f"input {spec.name!r} is missing, expected {_declared(spec)}", field=spec.name)
        value = inputs[spec.name]
        if value.dtype != spec.dtype.numpy or not _fits(value.shape, spec):
            came = f"{_dtype_name(value)}{_dims(value.shape)}"
            return BadRequest(f"input {spec.name!r} is {came}, expected {_declared(spec)}", field=spec.name)
    unknown = sorted(inputs.keys() - {spec.name for spec in signature.inputs})
    return BadRequest(f"there is no input {unknown[0]!r}", field=unknown[0]) if unknown else None


def not_utf8(spec: TensorSpec) -> BadRequest:
    """For a string with surrogates in it, which the runtime's own strings cannot hold."""
    return BadRequest(
        f"input {spec.name!r} holds text that is not UTF-8, which this model cannot take", field=spec.name
    )


def has_surrogates(spec: TensorSpec, value: Array) -> bool:
    """True if ``value`` is a string column with an element that UTF-8 cannot encode."""
    return spec.dtype is DType.STRING and any(isinstance(text, str) and not _encodes(text) for text in value.flat)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    if spec.shape is None:
        return True
    return len(shape) == len(spec.shape) and all(
        want is None or got == want for got, want in zip(shape, spec.shape, strict=True)
    )


def _dtype_name(value: Array) -> str:
    return "string" if value.dtype == object else str(value.dtype)


def _declared(spec: TensorSpec) -> str:
    return str(spec).removeprefix(f"{spec.name}: ")


def _dims(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
