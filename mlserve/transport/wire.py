"""An :class:`HttpResponse` as the bytes of an HTTP/1.1 answer."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from mlserve.transport.message import HttpResponse

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_EOL: Final = "\r\n"
BODILESS: Final = frozenset({204, 304})
"""Statuses of answers that have neither a body nor its length."""
_OURS: Final = frozenset({"connection", "content-length", "content-type", "date", "transfer-encoding"})
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def encode(response: HttpResponse, *, head_only: bool, connection: str = "") -> tuple[bytes, bytes]:
    """Head and body of the answer. ``connection`` is the value of that header, ``""`` leaves it out.

    Raises :class:`ValueError` if a header would change the framing of the answer (line breaks, our own names).
    """
    bodiless = response.status in BODILESS
    own = "".join([_line(name, value) for name, value in response.headers.items()]) if response.headers else ""
    head = (
        f"{_start(response.status, response.content_type)}"
        f"{'' if bodiless else f'Content-Length: {len(response.body)}{_EOL}'}"
        f"{own}{f'Connection: {connection}{_EOL}' if connection else ''}{_date(int(time.time()))}"
    )
    return head.encode("latin-1"), b"" if head_only or bodiless else response.body


@lru_cache(maxsize=256)
def _start(status: int, content_type: str) -> str:
    phrase = HTTPStatus(status).phrase
    typed = "" if status in BODILESS else _line_of_value("Content-Type", content_type)
    return f"HTTP/1.1 {status} {phrase}\r\n{typed}"


def start_of_ok(content_type: str) -> bytes:
    """The head of every answer of status 200 that has a body, up to the value of ``Content-Length``."""
    return f"{_start(200, content_type)}Content-Length: ".encode("latin-1")


def end_of_head() -> bytes:
    """The date, which is the last header of every answer, and the empty line."""
    return _date_bytes(int(time.time()))


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\n\r\n"


@lru_cache(maxsize=1)
def _date_bytes(second: int) -> bytes:
    return _date(second).encode("ascii")


@lru_cache(maxsize=256)  # names are few, and most values are those of the answer before
def _line(name: str, value: str) -> str:
    check_name(name)
    return _line_of_value(name, value)


def _line_of_value(name: str, value: str) -> str:
    check_value(name, value)
    return f"{name}: {value}\r\n"


def check_name(name: str) -> None:
    """Raises :class:`ValueError` for a header that a carrier sets itself, or that is none."""
    if name.lower() in _OURS or not _NAME.fullmatch(name):
        raise ValueError(f"a handler may not set the header {name!r}")


def check_value(name: str, value: str) -> None:
    """Raises :class:`ValueError` for a value that would end its header."""
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the header {name} holds a character that would end it: {value!r}")
