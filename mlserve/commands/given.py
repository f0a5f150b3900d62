"""``name=value`` on a command line, as what a model is sent.

A value that reads as JSON is sent as that JSON, anything else as text; ``@file.json`` is read. ``zip=123`` may have
been meant as text all the same: if the model refuses it, the same characters are sent as text. So a person writes
values as they are, and quotes them (``'zip="@home"'``) only where ``@`` must not be a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from mlserve.errors import RemoteError, SetupError

MAX_FILE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Given:
    """Values to send by input name. ``guesses`` are those that may have been meant as text, as they were typed."""

    values: Mapping[str, Any]
    guesses: Mapping[str, str]
    size_bytes: int

    def blamed(self, refusal: RemoteError) -> str | None:
        """The name that ``refusal`` is about, if it is one of these."""
        text = str(refusal)
        starts = ((name, f"field {name!r}") for name in self.values)
        return next((name for name, start in starts if text.startswith((f"{start}:", f"{start},"))), None)

    def as_text(self, name: str) -> Given:
        """The same with the guess ``name`` taken for text."""
        guesses = {other: text for other, text in self.guesses.items() if other != name}
        return Given({**self.values, name: self.guesses[name]}, guesses, self.size_bytes)


def read_given(assignments: Iterable[str]) -> Given:
    """``name=value`` each, names all different. Raises :class:`SetupError` for a file that cannot be used. Blocks."""
    values: dict[str, Any] = {}
    guesses: dict[str, str] = {}
    size_bytes = 0
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if text.startswith("@"):
            content = _file(name, text[1:])
            values[name] = orjson.Fragment(content)
            size_bytes += len(content)
            continue
        values[name] = text
        size_bytes += len(text)
        if _is_json(text):
            # The characters themselves: reading and writing a number anew could change it.
            values[name] = orjson.Fragment(text)
            if not text.lstrip().startswith('"'):
                guesses[name] = text
    return Given(values, guesses, size_bytes)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _file(name: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SetupError(f"{name}: cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise SetupError(f"{name}: {path} is longer than {MAX_FILE_BYTES} bytes")
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise SetupError(f"{name}: {path} is no JSON: {error}") from None
    return content
