"""What a plain (unquoted) YAML scalar means: YAML 1.2's types, plus the booleans of 1.1 that mly's files use.

Dates and ``12:30:45`` are text, as they are everywhere outside YAML 1.1.
"""

from __future__ import annotations

import re
from typing import Final

Value = None | bool | int | float | str

_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_DECIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*")
_BASED: Final = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_MAX_DIGITS: Final = 400
"""Longer numbers are text: no setting and no tensor holds one, and Python refuses very long ones."""


def value_of(text: str) -> Value:
    """The value of the plain scalar ``text``; whatever is nothing else is text."""
    if text in _NULLS:
        return None
    if _is_boolean(text):
        return _BOOLEANS[text.lower()]
    if text in (".nan", ".NaN", ".NAN"):
        return float("nan")
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    if len(text) > _MAX_DIGITS:
        return text
    digits = text.replace("_", "")
    if _BASED.fullmatch(text) and digits.lstrip("+-")[2:]:
        return int(digits, 0)
    if _DECIMAL.fullmatch(text):
        return int(digits, 8) if _is_octal(text) else int(digits)
    if _FLOAT.fullmatch(text):
        return float(digits)
    return text


def doubt_of(text: str) -> str | None:
    """Why the plain scalar ``text`` may not mean what its writer thinks, or ``None``."""
    if _is_boolean(text) and text.lower() not in ("true", "false"):
        value = str(_BOOLEANS[text.lower()]).lower()
        return f"{text} is a boolean in YAML 1.1: quote it ('{text}') for text, or write {value}"
    if _DECIMAL.fullmatch(text) and len(text.lstrip("+-")) > 1 and text.lstrip("+-")[0] == "0":
        return f"{text} has a leading zero, which is octal in YAML 1.1: quote it ('{text}') for text, or drop the zero"
    return None


def _is_boolean(text: str) -> bool:
    return text.lower() in _BOOLEANS and (text.islower() or text.isupper() or text.istitle())


def _is_octal(text: str) -> bool:
    digits = text.lstrip("+-").replace("_", "")
    return len(digits) > 1 and digits[0] == "0" and not set(digits) & {"8", "9"}
