"""What came, in words fit for an error text: short, printable, and never the raw bytes of a request."""

from __future__ import annotations

from typing import Final

from mlserve.types import DType, InputField, Interface

_LONGEST: Final = 40
_EXAMPLES: Final = 4


def shown(value: object) -> str:
    """``value`` as JSON would name it, cut to some 40 characters, control characters and broken bytes escaped."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST else repr(value[:_LONGEST]) + "…"
    if isinstance(value, int):
        # repr() of an int takes time in the square of its length, and refuses more than 4300 digits.
        digits = value.bit_length() * 0.30103
        return str(value) if digits <= _LONGEST else f"an integer of about {digits:.0f} digits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    return f"a {type(value).__name__}"


def example(interface: Interface) -> str:
    """The JSON object of one row this interface takes, with values made up; for errors that say what to send."""
    members = [f'"{field.name}":{_value(field)}' for field in interface.inputs[:_EXAMPLES]]
    if len(interface.inputs) > _EXAMPLES:
        members.append("…")
    return "{" + ",".join(members) + "}"


def _value(field: InputField) -> str:
    if field.dtype is DType.STRING:
        text = '"…"'
    elif field.dtype is DType.BOOL:
        text = "true"
    elif field.dtype.is_complex:
        text = "[1,0]"
    else:
        text = "1"
    depth = len(field.shape or ())
    return "[" * depth + text + (",…" if depth else "") + "]" * depth
