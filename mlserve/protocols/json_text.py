"""JSON as clients really send it: orjson on the fast way, a lenient reader behind it.

mly's Go client escapes nothing in strings, so control characters and bytes that are not UTF-8 arrive raw. orjson
refuses both; then Python's reader takes over, and this file refuses what that one is too kind to: NaN, lone
surrogates, numbers without end, nesting that would exhaust its recursion. The same client writes a float as ``-0``, of
which orjson makes an integer, so that its sign is lost: a text that may hold one is Python's as well.
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

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NEGATIVE_ZERO: Final = re.compile(rb"-0(?![0-9.eE])")
_WITHOUT_LONE_SURROGATES: Final = re.compile(
    rb"(?:[^\\]++"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{2}).?)*+",
    re.DOTALL,
)


def loads(text: bytes) -> Any:
    """``text`` as plain values; of members with one name, the last wins. Bytes that are not UTF-8 stand in strings as
    surrogate escapes. Every integer that some dtype can hold is exact; orjson makes a double of longer ones. ``-0`` is
    a double.

    Raises :class:`BadRequest` with the byte at which the text stops being JSON, in time proportional to its length.
    """
    if b"-" in text and b"-0" in text and _NEGATIVE_ZERO.search(text):
        return _loads_leniently(text)
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
    except ValueError:  # Python reads no integer of more than some 4000 digits, since that takes quadratic time
        raise BadRequest("invalid JSON: an integer longer than any dtype holds") from None


def _check_depth(text: bytes) -> None:
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    # Without escaped backslashes, then without escaped quotes, every quote left begins or ends a string.
    plain = np.frombuffer(text.replace(rb"\\", b"").replace(rb"\"", b""), dtype=np.uint8)
    in_string = np.cumsum(plain == ord('"'), dtype=np.int32) & 1
    steps = ((plain == ord("[")) | (plain == ord("{"))).astype(np.int32)
    steps -= (plain == ord("]")) | (plain == ord("}"))
    steps[in_string == 1] = 0
    if int(np.cumsum(steps, dtype=np.int32).max()) > MAX_DEPTH:
        raise BadRequest(f"invalid JSON: nested more than {MAX_DEPTH} levels deep")


def _check_surrogates(text: bytes) -> None:
    clean = _WITHOUT_LONE_SURROGATES.match(text)
    if clean and clean.end() < len(text):
        raise BadRequest(
            f"invalid JSON at byte {clean.end()}: a surrogate without its other half; "
            'bytes that are not text go as {"b64": "…"}'
        )


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BadRequest("invalid JSON: a number beyond the range of float64")
    return value


def _integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)


def _constant(text: str) -> NoReturn:
    raise BadRequest(f"invalid JSON: {text} is no JSON number; where an input has a Default, leave it out or send null")


_READER: Final = json.JSONDecoder(strict=False, parse_float=_float, parse_int=_integer, parse_constant=_constant)
