"""Which vocabularies of a model hold for an input as it is served. What does not hold is exact, and says why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mlserve.types import DType, InputField, Interface, Lookups, Serving


def served_lookups(found: Lookups | None, field: InputField, serving: Serving) -> Lookups | None:
    """What ``found``, the model's word about the input of ``field``, comes to.

    ``None`` if the model says nothing, and for auxiliary inputs, which it does not take.
    """
    if found is None or field.auxiliary:
        return None
    if found.every is None and not found.columns:
        return found
    reason = _why_exact(found, field, serving)
    if reason is not None:
        return Lookups(f"exact: {reason}")
    # In order, since the generation is a digest of the text.
    return replace(found, columns=dict(sorted(found.columns.items())))


def without_folding(interface: Interface, names: Collection[str]) -> Interface:
    """``interface`` with the inputs of these names exact. For the assembler, which saw the model tell values apart."""
    exact = Lookups("exact: the model was seen to tell apart values out of its vocabulary")
    inputs = tuple(replace(field, lookups=exact) if field.name in names else field for field in interface.inputs)
    return replace(interface, inputs=inputs)


def _why_exact(found: Lookups, field: InputField, serving: Serving) -> str | None:
    if serving is Serving.WHOLE:
        return "each request is one run, and its key the whole tensor"
    if field.wildcard:
        return "Wildcard makes the value itself the key"
    if field.dtype is not DType.STRING and not field.dtype.is_integer:
        return f"nothing stands for an unknown {field.dtype}"
    if found.columns and (field.shape is None or None in field.shape[1:]):
        return "rows of other shapes have other values in the places that are looked up"
    return None
