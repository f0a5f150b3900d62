"""The ``Inputs`` of ``meta/config``, in key order: by them and the dictionary, clients make the segments of a key.

An input that stands exactly in our keys is ``Wildcard``, whatever the configuration says: by mly's own rule clients
would leave its segment empty, and take the answer to one row for that to another.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from mlserve.config.schema import ModelConfig
from mlserve.transport.mly.dictionary import printable, published_vocabularies
from mlserve.types import DType, InputField, Interface, Shape

_OF_MLY: Final = {DType.FLOAT32: "float"}
"""Types of inputs that mly calls by another name than we do."""


def inputs_document(config: ModelConfig, interface: Interface) -> list[dict[str, Any]]:
    """One entry per input. Without a dictionary clients cache nothing, and exact inputs stand as mly shows them."""
    listed = len(config.inputs) or len({*config.key_fields, *config.auxiliary})
    cached = interface.dict_hash is not None
    known = interface.derived(published_vocabularies)
    return [
        {"Name": printable(field.name), "Index": index if index < listed else 0}
        | _members(field, wildcard=field.wildcard or (cached and _is_exact(field, known)))
        for index, field in enumerate(interface.inputs)
    ]


def _members(field: InputField, *, wildcard: bool) -> dict[str, Any]:
    members: dict[str, Any] = {"DataType": _OF_MLY.get(field.dtype, str(field.dtype))}
    if field.auxiliary:
        members["Auxiliary"] = True
    if wildcard:
        members["Wildcard"] = True
    if field.precision is not None and _is_in_key(field):
        members["Precision"] = field.precision
    return members | shape_member(field.shape)


def shape_member(shape: Shape | None) -> dict[str, Any]:
    """``Shape`` (ours) of a row that is not one value: -1 is free, ``null`` where not even the rank is known."""
    if shape == ():
        return {}
    return {"Shape": None if shape is None else [-1 if size is None else size for size in shape]}


def _is_exact(field: InputField, known: Container[str]) -> bool:
    return not field.auxiliary and field.precision is None and field.name not in known


def _is_in_key(field: InputField) -> bool:
    """With ``Precision``, clients would put an auxiliary input into the key that does not belong there."""
    return field.wildcard or not field.auxiliary
