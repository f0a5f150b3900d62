"""The row that a model's form begins with, as the texts that its fields hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any, Final

from mlserve.config.schema import TestConfig
from mlserve.serving.deployment import Deployment
from mlserve.serving.selftest import made_up_values
from mlserve.types import InputField, Interface
from mlserve.values import depth_of

MAX_MADE_UP: Final = 1024
"""Elements of one input; larger ones are left for the person to fill in."""
MAX_TEXT: Final = 16_384
"""Characters of one input's text."""
_DECIMALS: Final = 3


def example_texts(deployment: Deployment) -> tuple[dict[str, str], bool]:
    """Text by input name, and whether some of it is made up.

    What ``Test`` in the configuration gives comes first: its ``Single`` row, else the first of its ``Batch``. Inputs
    with a default may be left out, and are; the others get made-up values, as the warm-up does.
    """
    interface = deployment.interface
    given = _configured(deployment.origin.config.test, interface)
    lacking = tuple(
        field
        for field in interface.inputs
        if field.name not in given and not field.has_default and prod(_dims(field)) <= MAX_MADE_UP
    )
    made_up = made_up_values(Interface(lacking, None, interface.serving), {})
    values = {**{name: _rounded(value) for name, value in made_up.items()}, **given}
    texts = {name: text_of(value, bare=type(value) is str) for name, value in values.items() if value is not None}
    return {name: text for name, text in texts.items() if len(text) <= MAX_TEXT}, bool(lacking)


def text_of(value: object, *, bare: bool) -> str:
    """``value`` as JSON text; as it is, without quotes, if it is ``bare`` text."""
    if bare:
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _configured(test: TestConfig | None, interface: Interface) -> Mapping[str, Any]:
    if test is None:
        return {}
    if test.single is not None or test.batch is None:
        return test.single or {}
    by_name = interface.by_name
    return {name: _first_row(by_name[name], value) for name, value in test.batch.items() if name in by_name}


def _first_row(field: InputField, value: Any) -> Any:
    """The first of a list of rows; a value that stands for all rows as it is."""
    rank = len(field.shape or ()) + field.dtype.is_complex
    return value[0] if isinstance(value, list) and value and depth_of(value) > rank else value


def _dims(field: InputField) -> list[int]:
    return [dim or 1 for dim in field.shape or ()]


def _rounded(value: Any) -> Any:
    """Made-up floats with few digits: a person reads them."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value
