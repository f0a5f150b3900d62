"""What a server answered to ``eval``, checked: an :class:`Answer`, or the error that it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NoReturn

import orjson

from mlserve.client.transport import HttpAnswer
from mlserve.errors import BadAnswer, RemoteError

_LONGEST_TEXT: Final = 2000
_LONGEST_WAIT_S: Final = 86400


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` is an object of outputs for one row and a list of them for a batch; ``body`` is the whole answer."""

    data: Any
    dict_hash: int | None
    body: bytes


def read_answer(answer: HttpAnswer, place: str) -> Answer:
    """``place`` is the server's URL as errors show it. Raises :class:`RemoteError` and :class:`BadAnswer`."""
    document = _object(answer.body)
    if answer.status != 200 or document.get("status") == "error":
        _refuse(answer, document, place)
    if document.get("status") != "ok" or "data" not in document:
        raise BadAnswer(f"what {place} answered is no prediction: is it an mlserve?")
    dict_hash = document.get("dictHash")
    return Answer(document["data"], dict_hash if type(dict_hash) is int else None, answer.body)


def refuse(answer: HttpAnswer, place: str) -> NoReturn:
    """Raises the :class:`RemoteError` or :class:`BadAnswer` that ``answer``, which is no success, is."""
    _refuse(answer, _object(answer.body), place)


def _refuse(answer: HttpAnswer, document: dict[str, Any], place: str) -> NoReturn:
    text, code = document.get("error"), document.get("code")
    retry_after_s = _seconds(answer.headers.get("Retry-After", ""))
    if isinstance(text, str):
        code = code if isinstance(code, str) else ""
        raise RemoteError(_shown(text), status=answer.status, code=code, retry_after_s=retry_after_s)
    said = _shown(f"{place} answered {answer.status} {answer.reason}".rstrip())
    if answer.status < 400:
        raise BadAnswer(f"{said}, which is no prediction: is it an mlserve?")
    # Something in between, such as a load balancer without a server behind it.
    raise RemoteError(said, status=answer.status, retry_after_s=retry_after_s)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(text: str) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is none that an mlserve sends."""
    return float(min(int(text), _LONGEST_WAIT_S)) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _shown(text: str) -> str:
    """One line that cannot steer a terminal."""
    line = " ".join(text[:_LONGEST_TEXT].split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
