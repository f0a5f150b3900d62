"""A node tree matched against the classes of ``schema.py``: canonical names, plain values, and where each one stood.

Names and types are judged here, where the text that was written is still known; ranges, patterns and required members
are left to pydantic, whose complaints :mod:`mlserve.config.load` puts at the places found here.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from mlserve.config.document import Entries, Items, Node, Scalar
from mlserve.config.schema import Section
from mlserve.config.words import Path, clip, described, expectation, show_path, shown, suggest
from mlserve.errors import Problem

_REFUSED: Final = object()
"""What stands for a value that a problem was reported for; it never reaches pydantic."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stood, and how to show it in an error."""

    line: int
    shown: str


@dataclass(frozen=True, slots=True)
class Named:
    """A key of ours that the file gives: which member of which section, in which line."""

    section: type[Section]
    name: str
    path: Path
    line: int


@dataclass(slots=True)
class Conformed:
    """``data`` is what pydantic gets; ``refused`` are the paths that ``problems`` already speak of."""

    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    named: list[Named] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)


def conform(root: Node, schema: type[Section], file: str) -> Conformed:
    """Match ``root``, read from ``file``, against ``schema``. Raises nothing: what does not fit is a problem."""
    walk = _Walk(file)
    walk.result.data = walk.value(root, schema, ())
    return walk.result


@cache
def _members(section: type[Section]) -> Mapping[str, tuple[str, Any]]:
    """Name in lower case -> canonical name and type, synonyms included."""
    by_name = {item.alias or name: item.annotation for name, item in section.model_fields.items()}
    members = {name.casefold(): (name, kind) for name, kind in by_name.items()}
    return members | {other.casefold(): members[name.casefold()] for other, name in section.synonyms.items()}


class _Walk:
    def __init__(self, file: str) -> None:
        self._file = file
        self.result = Conformed()

    def value(self, node: Node, kind: Any, path: Path) -> Any:
        """``node`` as a plain value of ``kind``, or ``_REFUSED`` after a problem."""
        self.result.places[path] = Place(node.line, shown(node))
        kind = _bare(kind)
        origin = get_origin(kind)
        if isinstance(kind, type) and issubclass(kind, Section):
            return self._section(node, kind, path)
        if origin is tuple:
            return self._items(node, get_args(kind)[0], path)
        if origin is dict:
            return self._own_names(node, path) if isinstance(node, Entries) else self._mismatch(node, "a mapping", path)
        if kind is Any:
            return self._free(node, path)
        if not isinstance(node, Scalar):
            return self._mismatch(node, expectation(kind), path)
        return self._scalar(node, kind, path)

    def _section(self, node: Node, section: type[Section], path: Path) -> Any:
        if isinstance(node, Scalar) and node.value is not None:
            try:
                short = section.shorthand(node.value)
            except ValueError as error:
                return self._refuse(node.line, path, f"{error}, got {shown(node)}")
            if short is not None:
                return short
        if not isinstance(node, Entries):
            keys = ", ".join(name for name, _ in list(_members(section).values())[:3])
            return self._mismatch(node, f"a mapping with keys such as {keys}", path)
        data: dict[str, Any] = {}
        seen: dict[str, Scalar] = {}
        for key, child in node.effective(str.casefold):
            self._member(key, child, section, path, data, seen)
        return data

    def _member(
        self,
        key: Scalar,
        child: Node,
        section: type[Section],
        path: Path,
        data: dict[str, Any],
        seen: dict[str, Scalar],
    ) -> None:
        members = _members(section)
        if key.text.casefold() not in members:
            hint = suggest(key.text, list(dict.fromkeys(name for name, _ in members.values())))
            self._refuse(key.line, (*path, clip(key.text)), f"unknown key; {hint}")
            return
        name, kind = members[key.text.casefold()]
        here = (*path, name)
        if name in seen:
            first = seen[name]
            also = "" if first.text == key.text else f" (as {first.text})"
            self._refuse(key.line, here, f"the key {key.text} is given twice, first in line {first.line}{also}")
            return
        seen[name] = key
        self.result.named.append(Named(section, name, here, key.line))
        if isinstance(child, Scalar) and (child.value is None or (name in section.zero_is_unset and _is_zero(child))):
            self.result.places[here] = Place(key.line, "nothing")
            return
        value = self.value(child, kind, here)
        if value is not _REFUSED:
            data[name] = value

    def _items(self, node: Node, kind: Any, path: Path) -> Any:
        if not isinstance(node, Items):
            return self._mismatch(node, "a list", path)
        values = [self.value(item, kind, (*path, position)) for position, item in enumerate(node.items)]
        return [{} if value is _REFUSED else value for value in values]

    def _scalar(self, node: Scalar, kind: Any, path: Path) -> Any:
        if get_origin(kind) is Literal:
            choices = {str(choice).casefold(): choice for choice in get_args(kind)}
            if node.text.casefold() in choices:
                return choices[node.text.casefold()]
            return self._mismatch(node, f"one of {', '.join(choices.values())}", path)
        value = node.value
        if value is None:
            return self._mismatch(node, expectation(kind), path)
        if kind is str:
            if isinstance(value, bool):
                how = f"'{node.text}'" if node.written is None else f'"{node.written}"'
                return self._refuse(
                    node.line,
                    path,
                    f"expected text, got {shown(node)}, which YAML reads as a boolean; quote it: {how}",
                )
            return node.text
        if kind is not bool and node.doubt:
            return self._refuse(node.line, path, node.doubt)
        if kind is bool and isinstance(value, bool):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and _fits(value, kind):
            return value
        if kind is timedelta and isinstance(value, str):
            return value
        return self._mismatch(node, expectation(kind), path)

    def _own_names(self, node: Entries, path: Path) -> dict[str, Any]:
        """A mapping whose keys are the user's: kept as they are."""
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, child in node.effective(str):
            here = (*path, clip(key.text))
            if key.text in lines:
                self._refuse(key.line, here, f"the key {key.text} is given twice, first in line {lines[key.text]}")
                continue
            lines[key.text] = key.line
            value = self._free(child, here)
            if value is not _REFUSED:
                data[key.text] = value
        return data

    def _free(self, node: Node, path: Path) -> Any:
        """A value of any type, for what only a model can judge."""
        match node:
            case Items():
                values = [self._free(item, (*path, position)) for position, item in enumerate(node.items)]
                return [None if value is _REFUSED else value for value in values]
            case Entries():
                return self._own_names(node, path)
            case Scalar():
                return self._refuse(node.line, path, node.doubt) if node.doubt else node.value

    def _mismatch(self, node: Node, expected: str, path: Path) -> Any:
        hint = ""
        if isinstance(node, Scalar):
            if expected == "a list" and isinstance(node.value, str):
                hint = f"; write [{shown(node)}]"
            elif node.is_text and not isinstance(
                replaced := Scalar(node.line, node.text, plain=True).value, str | None
            ):
                hint = f"; remove the quotes to make it a {'boolean' if isinstance(replaced, bool) else 'number'}"
        return self._refuse(node.line, path, f"expected {expected}, got {described(node)}{hint}")

    def _refuse(self, line: int, path: Path, message: str) -> Any:
        self.result.problems.append(Problem(f"{self._file}:{line}", show_path(path), message))
        self.result.refused.add(path)
        return _REFUSED


def _bare(kind: Any) -> Any:
    """``kind`` without ``| None`` and annotations."""
    while get_origin(kind) in (Union, types.UnionType, Annotated):
        options = [option for option in get_args(kind) if option is not type(None)]
        kind = options[0]
    return kind


def _fits(value: float, kind: Any) -> bool:
    return kind is timedelta or kind is float or (kind is int and isinstance(value, int))


def _is_zero(node: Scalar) -> bool:
    return type(node.value) in (int, float) and node.value == 0
