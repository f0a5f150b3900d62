"""Durations as people and mly write them: ``500us``, ``2ms``, ``15m``, or a bare integer in the field's own unit."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT: Final = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h|d)\s*")


def parse_duration(value: object, bare_unit: str) -> timedelta:
    """``value`` as a duration; a bare number counts in ``bare_unit``. Raises :class:`ValueError` naming the forms."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value * _SECONDS[bare_unit])
    if isinstance(value, str):
        if match := _TEXT.fullmatch(value):
            return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
        if re.fullmatch(r"-?\d+", value):
            return timedelta(seconds=int(value) * _SECONDS[bare_unit])
    raise ValueError(f"expected a duration such as 500us, 2ms, 15s, 10m, or an integer in {bare_unit}; got {value!r}")


Nanoseconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "ns"))]
Microseconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "us"))]
Milliseconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "ms"))]
Seconds = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(value, "s"))]
