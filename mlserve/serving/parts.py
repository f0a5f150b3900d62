"""Everything a version is made of, by role: the artefact, and source files of the user's that change its answers.

A version is new when any of its parts is, so each part is a :class:`Source` of its own: listed, settled, copied alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from mlserve.config.load import resolve_url
from mlserve.config.schema import ModelConfig
from mlserve.serving.backend_choice import companions
from mlserve.sources.source import Source, open_source


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


def model_target(config: ModelConfig) -> PythonTarget | None:
    """The class that ``URL`` or ``Backend`` names; ``None`` for a model of another backend than python."""
    text = next((text for text in (config.url, config.backend) if text and text.startswith("python:")), None)
    return None if text is None else PythonTarget.parse(text)


def transformer_target(config: ModelConfig) -> PythonTarget | None:
    """The function that ``Transformer`` names, if there is one."""
    return None if config.transformer is None else PythonTarget.parse(config.transformer)


def open_parts(config: ModelConfig, base: str, *, timeout_s: float) -> dict[Role, Source]:
    """A source for each part of ``config``'s model. ``base`` is the folder that relative URLs start from.

    Models and transformers in installed modules have no part: they change with a restart.
    """
    urls: dict[Role, str] = {}
    if not config.url.startswith("python:"):
        urls[Role.ARTIFACT] = config.url
    for role, target in ((Role.CODE, model_target(config)), (Role.TRANSFORMER, transformer_target(config))):
        if target is not None and target.is_file:
            urls[role] = target.place
    return {
        role: open_source(
            resolve_url(base, url),
            ready_file=config.ready_file if role is Role.ARTIFACT else None,
            max_bytes=config.max_bytes,
            companions=partial(companions, backend=config.backend) if role is Role.ARTIFACT else _none,
            timeout_s=timeout_s,
        )
        for role, url in urls.items()
    }


def _none(file: Path) -> Sequence[str]:
    return ()
