"""One row from a query string: ``sa=a&fl=1.5``, each value read by its input's type as mly reads it."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from mlserve.errors import BadRequest
from mlserve.protocols import json_text
from mlserve.types import DType, InputField, Interface, Rows
from mlserve.values import depth_of, refuse_names, rows_from_values, shown

MAX_PARAMETERS: Final = 4096
RESERVED: Final = frozenset(("batch_size", "cache_key"))
"""Names of the POST form, which no input can have; ignored here, since a GET is one row and has no key."""

_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,400}")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_NON_FINITE: Final = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_BROKEN_PERCENT: Final = re.compile(r"%(?![0-9a-fA-F]{2})")


def rows_from_query(interface: Interface, query: str) -> Rows:
    """The one row that ``query`` (raw, without ``?``) asks for. Raises :class:`BadRequest`.

    The first of repeated values counts. Parameters that name no input are ignored, unless some input has a default:
    then a misspelt name would go unnoticed.
    """
    values: dict[str, Any] = {}
    unknown: dict[str, None] = {}
    for name, raw in _parameters(query):
        field = interface.by_name.get(name)
        if field is None or name in RESERVED:
            unknown[name] = None
        elif name not in values:
            values[name] = _value(field, _text(raw, field))
    unknown = {name: None for name in unknown if name not in RESERVED}
    missing = [field.name for field in interface.inputs if field.name not in values and not field.has_default]
    if missing or (unknown and any(field.has_default for field in interface.inputs)):
        refuse_names(interface, missing, sorted(unknown))
    return rows_from_values(interface, values, None, 1)[0]


def _parameters(query: str) -> list[tuple[str, str]]:
    """Names, decoded, with their values, not yet decoded."""
    if query.count("&") >= MAX_PARAMETERS:
        raise BadRequest(f"more than {MAX_PARAMETERS} parameters in the query")
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(_decoded(name), value) for name, _, value in pairs]


def _decoded(text: str) -> str:
    """Percent-decoded, ``+`` as a space, bytes that are not UTF-8 as surrogate escapes."""
    text = text.replace("+", " ")
    if "%" not in text and text.isascii():
        return text
    try:
        raw = unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise BadRequest("the query holds text that is no bytes") from None
    return raw.decode("utf-8", "surrogateescape")


def _text(raw: str, field: InputField) -> str:
    if _BROKEN_PERCENT.search(raw):
        raise _refused(field, "a % that is no escape; write it as %25", raw)
    return _decoded(raw)


def _value(field: InputField, text: str) -> Any:
    """``text`` as the plain value that a POST of the same row would hold."""
    if field.shape or field.dtype.is_complex or (field.shape is None and text.startswith("[")):
        return _nested(field, text)
    if field.dtype is DType.STRING:
        return text
    if field.dtype is DType.BOOL:
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise _refused(field, "expected true or false (bool)", text)
    if field.dtype.is_integer:
        if _INTEGER.fullmatch(text):
            return int(text)
        raise _refused(field, f"expected a whole number in base 10 ({field.dtype})", text)
    return _number(field, text)


def _number(field: InputField, text: str) -> float:
    if _FLOAT.fullmatch(text):
        value = float(text)
        if abs(value) == float("inf"):
            raise _refused(field, f"expected a number within the range of {field.dtype}", text)
        return value
    if _NON_FINITE.fullmatch(text):
        value = float(text)
        if repr(value) == repr(field.default):  # repr, since NaN equals nothing
            return value
        raise _refused(field, f"expected a finite number ({field.dtype}); leave out an input that has a Default", text)
    raise _refused(field, f"expected a number ({field.dtype})", text)


def _nested(field: InputField, text: str) -> Any:
    try:
        value = json_text.loads(text.encode("utf-8", "surrogateescape"))
    except BadRequest as error:
        raise BadRequest(f"field {field.name!r}: expected a list as JSON text, got {error}", field=field.name) from None
    if value is None and field.has_default:
        return value
    rank = len(field.shape) if field.shape is not None else None
    if rank is not None and depth_of(value) - field.dtype.is_complex == rank + 1:
        raise _refused(field, f"a GET is one row, so expected {rank} nested lists; POST takes batches", text)
    return value


def _refused(field: InputField, reason: str, text: str) -> BadRequest:
    return BadRequest(f"field {field.name!r}: {reason}, got {shown(text)}", field=field.name)
