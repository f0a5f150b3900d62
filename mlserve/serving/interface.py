"""From a model's signature and its configuration to the interface that callers see.

The rules for ``Inputs``, ``KeyFields``, ``Auxiliary``, ``Wildcard`` and their order are those of mly, so that its
clients compute the keys they always did: configured inputs first, in their order, then the model's others by name.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from mlserve.config.schema import InputConfig, ModelConfig
from mlserve.errors import BadRequest, LoadError
from mlserve.types import MISSING, DType, InputField, Interface, Serving, Shape, Signature, TensorSpec
from mlserve.values import default_row

logger = logging.getLogger(__name__)

_DTYPE_ALIASES: Final = {"float": "float32", "double": "float64", "int": "int64", "str": "string", "boolean": "bool"}


def serving_mode(signature: Signature, config: ModelConfig) -> Serving:
    """How rows meet this model, by its declared shapes alone; the probe at load may still find that it is ``WHOLE``."""
    if not config.rows or not signature.inputs:
        return Serving.WHOLE
    first = {spec.shape[0] if spec.shape else "none" for spec in signature.inputs}
    if first == {None}:
        return Serving.ROWS
    return Serving.ONE if first <= {None, 1} else Serving.WHOLE


def build_interface(signature: Signature, config: ModelConfig, serving: Serving, dict_hash: int | None) -> Interface:
    """The interface of one version. Raises :class:`LoadError` where the configuration contradicts the signature."""
    specs = {spec.name: spec for spec in signature.inputs}
    fields = tuple(_field(entry, specs.get(entry.name), config, serving) for entry in _effective_inputs(config, specs))
    outputs = None if config.transformer else answered_outputs(signature, config)
    return Interface(fields, outputs, serving, dict_hash)


def answered_outputs(signature: Signature, config: ModelConfig) -> tuple[TensorSpec, ...]:
    """The outputs that ``Outputs`` asks for, in the signature's order; all of them if it asks for none."""
    wanted = [entry.name for entry in config.outputs]
    known = [spec.name for spec in signature.outputs]
    for name in wanted:
        if name not in known:
            raise LoadError(
                f"Outputs names {name!r}; the model's outputs are: {', '.join(known)}{_nearest(name, known)}"
            )
    return tuple(spec for spec in signature.outputs if not wanted or spec.name in wanted)


def _effective_inputs(config: ModelConfig, specs: dict[str, TensorSpec]) -> Sequence[InputConfig]:
    listed = list(config.inputs)
    if not listed:
        names = dict.fromkeys((*config.key_fields, *config.auxiliary))
        listed = [InputConfig(name=name) for name in names]
    elif unknown := sorted(set(config.key_fields) - {entry.name for entry in listed} - specs.keys()):
        logger.warning(
            "%s: KeyFields names %s, which the model (%s) does not take and Inputs does not list: no effect",
            config.id,
            ", ".join(unknown),
            ", ".join(sorted(specs)),
        )
    missing = sorted(specs.keys() - {entry.name for entry in listed})
    return [*listed, *(InputConfig(name=name) for name in missing)]


def _field(entry: InputConfig, spec: TensorSpec | None, config: ModelConfig, serving: Serving) -> InputField:
    if spec is None:
        field = InputField(
            name=entry.name,
            dtype=_auxiliary_dtype(entry),
            shape=(),
            auxiliary=True,
            wildcard=entry.name in config.key_fields,
            precision=entry.precision,
            default=entry.default if entry.has_default else MISSING,
        )
    elif entry.auxiliary:
        raise LoadError(f"input {entry.name!r} is Auxiliary in the configuration, but the model takes it ({spec})")
    else:
        field = InputField(
            name=entry.name,
            dtype=spec.dtype,
            shape=row_shape(spec, serving),
            wildcard=entry.wildcard,
            precision=entry.precision,
            default=entry.default if entry.has_default else MISSING,
        )
    if field.has_default:
        try:
            default_row(field)
        except BadRequest as error:
            raise LoadError(f"Default does not fit: {error}") from error
    if field.precision is not None and not field.dtype.is_float:
        raise LoadError(f"input {field.name!r} has Precision, which is for float inputs; it is {field.dtype}")
    return field


def row_shape(spec: TensorSpec, serving: Serving) -> Shape | None:
    """The shape of one row of ``spec``; ``[-1]`` and ``[-1,1]`` both hold scalars."""
    if spec.shape is None or serving is Serving.WHOLE:
        return spec.shape
    shape = spec.shape[1:]
    return () if shape == (1,) else shape


def _auxiliary_dtype(entry: InputConfig) -> DType:
    text = (entry.data_type or "string").lower()
    try:
        return DType(_DTYPE_ALIASES.get(text, text))
    except ValueError:
        known = ", ".join(dtype for dtype in DType if dtype is not DType.JSON)
        raise LoadError(f"input {entry.name!r} has DataType {entry.data_type!r}; there are: {known}") from None


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
