"""Everything a version is made of, by role: the artefact, and source files of the user's that change its answers.

A version is new when any of its parts is, so each part is a :class:`Source` of its own: listed, settled, copied alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlserve.config.load import resolve_url
from mlserve.config.schema import ModelConfig
from mlserve.serving.backend_choice import companions
from mlserve.serving.source import Source, open_source


class Role(StrEnum):
    """What a part is to its version."""

    ARTIFACT = "artifact"
    CODE = "code"
    TRANSFORMER = "transformer"


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """``python:module:Class`` or ``python:file.py:Class`` in ``URL`` or ``Backend``; transformers lack the scheme."""

    place: str
    attribute: str

    @classmethod
    def parse(cls, text: str) -> PythonTarget:
        place, _, attribute = text.removeprefix("python:").rpartition(":")
        return cls(place, attribute)

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py")


def open_parts(config: ModelConfig, base: str, *, timeout_s: float) -> dict[Role, Source]:
    """A source for each part of ``config``'s model. ``base`` is the folder that relative URLs start from.

    Models and transformers in installed modules have no part: they change with a restart.
    """
    urls: dict[Role, str] = {}
    if config.url.startswith("python:"):
        _add_file(urls, Role.CODE, PythonTarget.parse(config.url))
    else:
        urls[Role.ARTIFACT] = config.url
        if config.backend and config.backend.startswith("python:"):
            _add_file(urls, Role.CODE, PythonTarget.parse(config.backend))
    if config.transformer:
        _add_file(urls, Role.TRANSFORMER, PythonTarget.parse(config.transformer))
    return {
        role: open_source(
            resolve_url(base, url),
            ready_file=config.ready_file if role is Role.ARTIFACT else None,
            max_bytes=config.max_bytes,
            companions=companions if role is Role.ARTIFACT else _none,
            timeout_s=timeout_s,
        )
        for role, url in urls.items()
    }


def _add_file(urls: dict[Role, str], role: Role, target: PythonTarget) -> None:
    if target.is_file:
        urls[role] = target.place


def _none(file: Path) -> Sequence[str]:
    return ()
