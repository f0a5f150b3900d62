"""From a configuration's URL or text to a :class:`LoadedConfig`, or to one error that names everything wrong with it.

The daemon calls :func:`load_config` at start and whenever the file may have changed; ``check`` calls it once. Both
block (files, network, parsing): off the event loop, please.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlserve.config.checks import check
from mlserve.config.conform import Conformed, Place, conform
from mlserve.config.document import read_document
from mlserve.config.environment import substitute
from mlserve.config.fetch import read_text
from mlserve.config.location import base_of, resolve_url
from mlserve.config.masking import redact_url
from mlserve.config.notices import notices
from mlserve.config.schema import Config
from mlserve.config.words import Path, show_path
from mlserve.errors import ConfigError, Problem

__all__ = ["LoadedConfig", "load_config", "parse_config", "resolve_url"]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that can be used.

    ``url`` is where it came from, ``base`` the folder that its relative URLs resolve against (:func:`resolve_url`).
    ``notices`` are keys that have no effect here, each once. ``digest`` moves when the effective configuration does:
    comments, order of keys and spelling leave it alone. It covers secrets too, so it is not for showing.
    ``model_places`` and ``connection_places`` say where each entry stands (``file:line``), by ID: for what is found
    after parsing.
    """

    config: Config
    url: str
    base: str
    notices: tuple[Problem, ...]
    digest: str
    model_places: Mapping[str, str] = field(default_factory=dict)
    connection_places: Mapping[str, str] = field(default_factory=dict)


def load_config(url: str, environ: Mapping[str, str] = os.environ) -> LoadedConfig:
    """Read and parse the file at ``url``, a local path or any fsspec URL. Blocks.

    Raises :class:`ConfigError` if it cannot be read, is larger than 4 MiB, or :func:`parse_config` refuses it.
    """
    return parse_config(read_text(url), place=url, environ=environ)


def parse_config(text: str, *, place: str, environ: Mapping[str, str] = os.environ) -> LoadedConfig:
    """Parse ``text``; ``place`` is its path or URL, for error places and as the origin of relative URLs.

    Raises :class:`ConfigError` with every problem, in the order of the file. Values are shown as the file has them,
    ``${VAR}`` and all, and redacted.
    """
    file = redact_url(place)
    root = read_document(text, file)
    if root is None:
        raise ConfigError([Problem(file, "", "the file is empty; it needs at least Models: [{ID: …, URL: …}]")])
    root, unset = substitute(root, environ, file)
    if unset:
        raise ConfigError(unset)
    conformed = conform(root, Config, file)
    problems = list(conformed.problems)
    config = _validate(conformed, file, problems)
    # A list that was refused as a whole would make every reference into it look wrong.
    if config is not None and not conformed.refused & {("Models",), ("Datastores",), ("Connections",)}:
        problems += [_problem(path, message, conformed, file) for path, message in check(config)]
    if config is None or problems:
        raise ConfigError(sorted(problems, key=_line))

    def places(section: str, ids: Iterable[str]) -> dict[str, str]:
        return {name: f"{file}:{conformed.places[section, at].line}" for at, name in enumerate(ids)}

    return LoadedConfig(
        config,
        place,
        base_of(place),
        notices(conformed.named, file),
        _digest(config),
        places("Models", (model.id for model in config.models)),
        places("Connections", (connection.id for connection in config.connections)),
    )


def _validate(conformed: Conformed, file: str, problems: list[Problem]) -> Config | None:
    """The typed configuration; after a problem, one without the members at fault, if that is possible."""
    if not isinstance(conformed.data, dict):
        return None
    try:
        return Config.model_validate(conformed.data)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            path: Path = detail["loc"]
            if not any(path[: len(refused)] == refused for refused in conformed.refused):
                problems.append(_problem(path, _explain(detail, conformed.places.get(path)), conformed, file))
            _drop(conformed.data, path)
    try:
        return Config.model_validate(conformed.data)
    except ValidationError:
        return None


def _drop(data: Any, path: Path) -> None:
    """Remove the member at ``path``; elements of lists stay, for others are known by their positions."""
    for step in path[:-1]:
        data = data[step]
    if isinstance(data, dict):
        data.pop(path[-1], None)


def _problem(path: Path, message: str, conformed: Conformed, file: str) -> Problem:
    """``message`` at the place of ``path``, or of the nearest thing around it that the file has."""
    around = next(path[:end] for end in range(len(path), -1, -1) if path[:end] in conformed.places)
    return Problem(f"{file}:{conformed.places[around].line}", show_path(path), message)


_LIMITS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _explain(detail: ErrorDetails, place: Place | None) -> str:
    """pydantic's complaint in our words: what was expected, what came."""
    kind, context = detail["type"], detail.get("ctx", {})
    got = f", got {place.shown}" if place else ""
    if kind == "missing":
        return "is missing" + (": its value is empty" if place else "")
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"expected {words} {context[key]}{got}"
    if kind == "string_pattern_mismatch":
        return f"expected up to 128 letters, digits, dots, dashes and underscores, a letter or digit first{got}"
    if kind == "string_too_short":
        return "may not be empty"
    if kind == "string_unicode":
        return f"expected UTF-8 text{got}"
    if kind == "finite_number":
        return f"expected a finite number{got}"
    if kind == "value_error":
        text = str(context["error"])
        return text + got if text.startswith("expected") else text
    return detail["msg"] + got


def _line(problem: Problem) -> int:
    line = problem.place.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _digest(config: Config) -> str:
    content = json.dumps(config.model_dump(), sort_keys=True, default=repr)
    return hashlib.sha256(content.encode()).hexdigest()
