"""One row from a query string: ``sa=a&fl=1.5``, each value read by its input's type as mly reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from mlserve.errors import BadRequest
from mlserve.protocols import json_text
from mlserve.types import DType, InputField, Interface, Rows
from mlserve.values import depth_of, refuse_names, rows_from_values, shown

MAX_PARAMETERS: Final = 4096
RESERVED: Final = frozenset(("batch_size", "cache_key"))
"""Names of the POST form, which no input can have; ignored here, since a GET is one row and has no key."""

_SHORT: Final = 24
"""Characters of most numbers; fewer than a double needs to overflow."""
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
    if query.count("&") >= MAX_PARAMETERS:
        raise BadRequest(f"more than {MAX_PARAMETERS} parameters in the query")
    readers = interface.derived(_readers)
    values: dict[str, Any] = {}
    unknown: dict[str, None] = {}
    for part in query.split("&"):
        if not part:
            continue
        name, _, raw = part.partition("=")
        read = readers.as_written.get(name)
        if read is None:
            name = _decoded(name)  # the same name, read
            read = readers.by_name.get(name)
        if read is None:
            if name not in RESERVED:
                unknown[name] = None
        elif name not in values:
            values[name] = read(raw)
    if unknown or len(values) < len(interface.inputs):
        _check_names(interface, values, unknown)
    return rows_from_values(interface, values, None, 1)[0]


Reader = Callable[[str], Any]
"""Raw text, percent-escapes and all, to the plain value that a POST of the same row would hold."""


class _Readers(NamedTuple):
    """What each input makes of its raw text. ``as_written`` has those whose names stand for themselves in a query."""

    by_name: Mapping[str, Reader]
    as_written: Mapping[str, Reader]


def _readers(interface: Interface) -> _Readers:
    by_name = {field.name: _reader(field) for field in interface.inputs if field.name not in RESERVED}
    plain = {name: read for name, read in by_name.items() if name.isascii() and "+" not in name and "%" not in name}
    return _Readers(by_name, plain)


def _check_names(interface: Interface, values: Mapping[str, Any], unknown: Mapping[str, None]) -> None:
    missing = [field.name for field in interface.inputs if field.name not in values and not field.has_default]
    if missing or (unknown and any(field.has_default for field in interface.inputs)):
        refuse_names(interface, missing, sorted(unknown))


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


def _reader(field: InputField) -> Reader:
    """How ``field`` is read: texts that are plainly right at once, all others with care."""
    if field.shape == () and field.dtype.is_integer:
        return partial(_integer, field)
    if field.shape == () and field.dtype.is_float:
        return partial(_float, field)
    return partial(_read, field)


def _integer(field: InputField, raw: str) -> Any:
    if len(raw) <= _SHORT and not raw.strip("-0123456789"):
        try:
            return int(raw)
        except ValueError:  # such as 1-2
            pass
    return _read(field, raw)


def _float(field: InputField, raw: str) -> Any:
    if len(raw) <= _SHORT and not raw.strip("-.0123456789"):
        try:
            return float(raw)
        except ValueError:  # such as 1.2.3
            pass
    return _read(field, raw)


def _read(field: InputField, raw: str) -> Any:
    return _value(field, _text(raw, field))


def _text(raw: str, field: InputField) -> str:
    if "%" in raw and _BROKEN_PERCENT.search(raw):
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
