"""Durations as people and mly write them: ``500us``, ``2ms``, ``15m``, or a bare integer in the field's own unit."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAMES: Final = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds"}
_LONGEST_S: Final = 100 * 365 * 86400.0
_TEXT: Final = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h|d)\s*")


def parse_duration(value: object, bare_unit: str) -> timedelta:
    """``value`` as a duration; a bare number counts in ``bare_unit``. Raises :class:`ValueError` naming the forms.

    The text of the error does not repeat ``value``, which may come from the environment.
    """
    if isinstance(value, timedelta):
        return value
    count, unit = None, bare_unit
    if isinstance(value, int | float) and not isinstance(value, bool):
        count = value
    elif isinstance(value, str) and (match := _TEXT.fullmatch(value)):
        count, unit = float(match[1]), match[2]
    elif isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        count = float(value)
    if count is None:
        raise ValueError(f"expected a duration such as 500us, 2ms, 15s, 10m, or a number of {_NAMES[bare_unit]}")
    if not abs(count) < _LONGEST_S / _SECONDS[unit]:
        raise ValueError("expected a duration of less than 100 years")
    if count < 0:
        # BatchWait below 0 has a meaning of its own, which -1 ns must not lose to rounding.
        return min(timedelta(seconds=count * _SECONDS[unit]), -timedelta.resolution)
    return timedelta(seconds=count * _SECONDS[unit])


Nanoseconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "ns"))]
Microseconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "us"))]
Milliseconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "ms"))]
Seconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "s"))]
