"""JSON as clients really send it: orjson on the fast way, a lenient reader behind it.

mly's Go client escapes nothing in strings, so control characters and bytes that are not UTF-8 arrive raw. orjson
refuses both; then Python's reader takes over, and this file refuses what that one is too kind to: NaN, lone
surrogates, numbers without end, nesting that would exhaust its recursion.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

import numpy as np
import orjson

from mlserve.errors import BadRequest

MAX_DEPTH: Final = 128
"""Lists and objects within one another, for the lenient reader; orjson has a bound of its own (1024)."""
_LONGEST_INTEGER: Final = 400
"""Digits. No dtype holds as many, and reading an integer takes time in the square of its length."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def loads(text: bytes) -> Any:
    """``text`` as plain values; of members with one name, the last wins. Bytes that are not UTF-8 stand in strings as
    surrogate escapes. Every integer that some dtype can hold is exact; orjson makes a double of longer ones.

    Raises :class:`BadRequest` with the byte at which the text stops being JSON, in time proportional to its length.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _loads_leniently(text)


def _loads_leniently(text: bytes) -> Any:
    text = text.removeprefix(_BYTE_ORDER_MARK)
    _check_depth(text)
    _check_surrogates(text)
    decoded = text.decode("utf-8", "surrogateescape")
    try:
        return _READER.decode(decoded)
    except json.JSONDecodeError as error:
        at = len(decoded[: error.pos].encode("utf-8", "surrogateescape"))
        raise BadRequest(f"invalid JSON at byte {at}: {error.msg}") from None


def _check_depth(text: bytes) -> None:
    brackets = np.frombuffer(_STRING.sub(b"", text), dtype=np.uint8)
    opened = ((brackets == ord("[")) | (brackets == ord("{"))).astype(np.int32)
    opened -= (brackets == ord("]")) | (brackets == ord("}"))
    if brackets.size and int(np.cumsum(opened, dtype=np.int32).max()) > MAX_DEPTH:
        raise BadRequest(f"invalid JSON: nested more than {MAX_DEPTH} levels deep")


def _check_surrogates(text: bytes) -> None:
    for escape in _ESCAPE.finditer(text):
        if escape["lone"]:
            raise BadRequest(
                f"invalid JSON at byte {escape.start()}: a surrogate without its other half; "
                'bytes that are not text go as {"b64": "…"}'
            )


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise BadRequest(f"invalid JSON: an integer of {len(text)} digits, longer than any dtype holds")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BadRequest("invalid JSON: a number beyond the range of float64")
    return value


def _constant(text: str) -> NoReturn:
    raise BadRequest(f"invalid JSON: {text} is no JSON number; where an input has a Default, leave it out or send null")


_READER: Final = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_float, parse_constant=_constant)
