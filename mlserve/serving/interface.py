"""From a model's signature and its configuration to the interface that callers see.

The rules for ``Inputs``, ``KeyFields``, ``Auxiliary``, ``Wildcard`` and their order are those of mly, so that its
clients compute the keys they always did: configured inputs first, in their order, then the model's others by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from mlserve.config.schema import InputConfig, ModelConfig
from mlserve.errors import BadRequest, LoadError
from mlserve.serving.lookups import served_lookups
from mlserve.types import MISSING, DType, InputField, Interface, Lookups, Serving, Shape, Signature, TensorSpec
from mlserve.values import default_row


def serving_mode(signature: Signature, config: ModelConfig) -> Serving:
    """How rows meet this model, by its declared shapes alone; the probe at load may still find that it is ``WHOLE``."""
    if not config.rows or not signature.inputs:
        return Serving.WHOLE
    first = {spec.shape[0] if spec.shape else "none" for spec in signature.inputs}
    if first == {None}:
        return Serving.ROWS
    return Serving.ONE if first <= {None, 1} else Serving.WHOLE


def build_interface(
    signature: Signature,
    config: ModelConfig,
    serving: Serving,
    lookups: Mapping[str, Lookups],
    dict_hash: int | None,
) -> Interface:
    """The interface of one version; ``lookups`` are the model's own.

    Raises :class:`LoadError` where the configuration contradicts the signature.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    fields = (_field(entry, specs.get(entry.name), config, serving) for entry in _effective_inputs(config, specs))
    inputs = tuple(replace(it, lookups=served_lookups(lookups.get(it.name), it, serving)) for it in fields)
    outputs = None if config.transformer else answered_outputs(signature, config)
    return Interface(inputs, outputs, serving, dict_hash)


def settings_without_effect(signature: Signature, config: ModelConfig) -> Iterator[str]:
    """One line for each setting of ``config`` that this signature leaves without effect: warnings, not errors."""
    specs = {spec.name: spec for spec in signature.inputs}
    listed = {entry.name for entry in config.inputs}
    for member, names in (("KeyFields", config.key_fields), ("Auxiliary", config.auxiliary)):
        unknown = sorted(set(names) - listed - specs.keys()) if listed else ()
        for name in unknown:
            yield f"{member} names {name!r}, which Inputs does not list and the model does not take: no effect"
    for entry in config.inputs:
        spec = specs.get(entry.name)
        near = _nearest(entry.name, sorted(specs.keys() - listed)) if spec is None else ""
        if near:
            yield f"input {entry.name!r} is not one of the model's: callers must send it, and nothing reads it{near}"
        if spec is not None and entry.dtype not in (None, spec.dtype):
            yield f"DataType {entry.data_type} of input {entry.name!r} has no effect: the model takes {spec.dtype}"
    if config.transformer and config.outputs:
        yield "Outputs has no effect: the Transformer decides what is answered"


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
    missing = sorted(specs.keys() - {entry.name for entry in listed})
    return [*listed, *(InputConfig(name=name) for name in missing)]


def _field(entry: InputConfig, spec: TensorSpec | None, config: ModelConfig, serving: Serving) -> InputField:
    if spec is not None and (entry.auxiliary or entry.name in config.auxiliary):
        raise LoadError(f"input {entry.name!r} is Auxiliary in the configuration, but the model takes it ({spec})")
    field = InputField(
        name=entry.name,
        dtype=(entry.dtype or DType.STRING) if spec is None else spec.dtype,
        shape=() if spec is None else row_shape(spec, serving),
        auxiliary=spec is None,
        wildcard=entry.name in config.key_fields if spec is None else entry.wildcard,
        precision=entry.precision,
        default=entry.default if entry.has_default else MISSING,
    )
    if field.precision is not None and not field.dtype.is_float:
        raise LoadError(f"input {field.name!r} has Precision, which is for float inputs; it is {field.dtype}")
    if field.has_default:
        try:
            default_row(field)
        except BadRequest as error:
            raise LoadError(f"Default does not fit: {error}") from error
    return field


def row_shape(spec: TensorSpec, serving: Serving) -> Shape | None:
    """The shape of one row of ``spec``; ``[-1]`` and ``[-1,1]`` both hold scalars."""
    if spec.shape is None or serving is Serving.WHOLE:
        return spec.shape
    shape = spec.shape[1:]
    return () if shape == (1,) else shape


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
