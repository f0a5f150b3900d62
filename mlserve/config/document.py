"""YAML text as a tree of nodes that remember their line and, for scalars, the text that was written.

PyYAML's parser delivers events; the tree is built here, within bounds: no tag ever makes an object, depth and the
number of nodes are limited *after* aliases are expanded, so that a few lines cannot stand for billions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import yaml
from yaml import events

from mlserve.config.scalar import Value, doubt_of, value_of
from mlserve.errors import ConfigError, Problem

MAX_CHARACTERS: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_NODES: Final = 500_000

_IN_BRACES: Final = "; YAML takes the { of ${VAR} for its own inside braces and brackets: put the key on its own line"

_TAG: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass(frozen=True, slots=True)
class Scalar:
    """``text`` is the content; ``written`` is what stood in the file where the environment filled part of it in."""

    line: int
    text: str
    plain: bool
    tag: str | None = None
    written: str | None = None

    @property
    def is_text(self) -> bool:
        """True if quotes, block style or ``!!str`` say so; a plain scalar may be text as well."""
        return self.tag == _TAG + "str" or (self.tag is None and not self.plain)

    @property
    def value(self) -> Value:
        return self.text if self.is_text else value_of(self.text)

    @property
    def doubt(self) -> str | None:
        """Why the value may surprise; never with text that came from the environment."""
        if self.is_text or (reason := doubt_of(self.text)) is None:
            return None
        return reason if self.written is None else f"the value of {self.written} is ambiguous in YAML 1.1: quote it"


@dataclass(frozen=True, slots=True)
class Items:
    """A YAML sequence."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A YAML mapping in the order of the file, duplicates and all; ``merged`` are the mappings under ``<<``."""

    line: int
    pairs: tuple[tuple[Scalar, Node], ...]
    merged: tuple[Entries, ...] = ()

    def effective(self, fold: Callable[[str], str]) -> list[tuple[Scalar, Node]]:
        """Own pairs (duplicates included), then merged ones whose key, by ``fold``, no earlier one has."""
        pairs = list(self.pairs)
        taken = {fold(key.text) for key, _ in pairs}
        for mapping in self.merged:
            added = [pair for pair in mapping.effective(fold) if fold(pair[0].text) not in taken]
            taken |= {fold(key.text) for key, _ in added}
            pairs += added
        return pairs


Node = Scalar | Items | Entries


def read_document(text: str, place: str) -> Node | None:
    """The one document in ``text``; ``None`` if there is nothing but white space and comments.

    Raises :class:`ConfigError` with one problem, at ``place:line:column``, for what is not YAML or not allowed here.
    """
    if len(text) > MAX_CHARACTERS:
        raise _refuse(place, f"the file is larger than {MAX_CHARACTERS // 1024**2} MiB")
    loader = yaml.SafeLoader("")
    try:
        loader = yaml.SafeLoader(text)
        return _Composer(place).document(_events(loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        before = text.splitlines()[mark.line][: mark.column] if mark.line < len(text.splitlines()) else ""
        message = _in_words(error) + (_IN_BRACES if before.endswith("$") else "")
        raise _refuse(f"{place}:{mark.line + 1}:{mark.column + 1}", message) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = len(before) - (before.rfind("\n") + 1) + 1
        where = f"{place}:{before.count(chr(10)) + 1}:{column}"
        raise _refuse(where, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML") from error
    except (ValueError, OverflowError) as error:  # PyYAML gives \U99999999 to chr()
        mark = loader.get_mark()
        raise _refuse(f"{place}:{mark.line + 1}:{mark.column + 1}", "not a Unicode character") from error
    finally:
        loader.dispose()


def _in_words(error: yaml.MarkedYAMLError) -> str:
    if "<block end>" in (error.problem or ""):
        return "not valid YAML: this does not line up with what is above it; check the indentation"
    if error.problem == "mapping values are not allowed here":
        return "not valid YAML: a key may not begin here; check the indentation, and quote a value that holds ': '"
    problem = (error.problem or "").replace("'<stream end>'", "the end of the file").replace("character '\\t'", "a tab")
    begun = f" that begins in line {error.context_mark.line + 1}" if error.context_mark else ""
    context = f" {error.context}{begun}:" if error.context else ""
    hint = " (indent with spaces, not tabs)" if "a tab" in problem else ""
    return f"not valid YAML:{context} {problem}{hint}"


def _events(loader: yaml.SafeLoader) -> Iterator[events.Event]:
    while loader.check_event():
        yield loader.get_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped


def _refuse(where: str, message: str) -> ConfigError:
    return ConfigError([Problem(where, "", message)])


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node that aliases may repeat, with what each repetition costs."""

    node: Node
    size: int
    height: int


class _Composer:
    """Builds the tree of one document."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._anchors: dict[str, _Anchored | None] = {}  # None: still being built
        self._count = 0
        self._deepest = 0

    def document(self, stream: Iterable[events.Event]) -> Node | None:
        root: Node | None = None
        iterator = iter(stream)
        started = False
        for event in iterator:
            if isinstance(event, events.DocumentStartEvent):
                if started:
                    raise self._refuse(event, "a second document begins here; a configuration is one document")
                started = True
                root = self._node(next(iterator), iterator, depth=0)
        if isinstance(root, Scalar) and root.value is None:
            return None
        return root

    def _node(self, event: events.Event, stream: Iterator[events.Event], depth: int) -> Node:
        self._grow(event, count=1, depth=depth)
        if isinstance(event, events.AliasEvent):
            return self._alias(event, depth)
        anchor = getattr(event, "anchor", None)
        if anchor is None:
            return self._content(event, stream, depth)
        self._anchors[anchor] = None
        count_before, deepest_before = self._count, self._deepest
        self._deepest = depth
        node = self._content(event, stream, depth)
        self._anchors[anchor] = _Anchored(node, self._count - count_before, self._deepest - depth)
        self._deepest = max(self._deepest, deepest_before)
        return node

    def _content(self, event: events.Event, stream: Iterator[events.Event], depth: int) -> Node:
        line = _line(event)
        match event:
            case events.ScalarEvent():
                return self._scalar(event, line)
            case events.SequenceStartEvent():
                self._check_tag(event, event.tag, "seq")
                items = []
                while not isinstance(inner := next(stream), events.SequenceEndEvent):
                    items.append(self._node(inner, stream, depth + 1))
                return Items(line, tuple(items))
            case events.MappingStartEvent():
                self._check_tag(event, event.tag, "map")
                return self._mapping(stream, line, depth)
        raise self._refuse(event, "expected a value")

    def _scalar(self, event: events.ScalarEvent, line: int) -> Scalar:
        tag = None if event.tag == "!" or event.tag is None else event.tag
        if tag is not None and tag not in _SCALAR_TAGS:
            raise self._refuse(event, f"the tag {_shown(tag)} is not accepted")
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            raise self._refuse(event, "half of a surrogate pair is not a Unicode character")
        plain = event.style is None and event.tag != "!"
        return Scalar(line, event.value, plain, tag)

    def _mapping(self, stream: Iterator[events.Event], line: int, depth: int) -> Entries:
        pairs: list[tuple[Scalar, Node]] = []
        merged: list[Entries] = []
        while not isinstance(inner := next(stream), events.MappingEndEvent):
            key = self._node(inner, stream, depth + 1)
            if not isinstance(key, Scalar):
                raise self._refuse(inner, "a key must be plain text, not a list or a mapping")
            after = next(stream)
            value = self._node(after, stream, depth + 1)
            if key.plain and key.text == "<<":
                merged += self._merge(after, value)
            else:
                pairs.append((key, value))
        return Entries(line, tuple(pairs), tuple(merged))

    def _merge(self, event: events.Event, value: Node) -> list[Entries]:
        sources = value.items if isinstance(value, Items) else (value,)
        found = [source for source in sources if isinstance(source, Entries)]
        if len(found) != len(sources):
            raise self._refuse(event, "<< takes a mapping or a list of mappings, such as *name")
        return found

    def _alias(self, event: events.AliasEvent, depth: int) -> Node:
        if event.anchor not in self._anchors:
            raise self._refuse(event, f"*{event.anchor} refers to an anchor &{event.anchor} that is not above it")
        known = self._anchors[event.anchor]
        if known is None:
            raise self._refuse(event, f"*{event.anchor} refers to a value that holds it")
        self._grow(event, count=known.size, depth=depth + known.height)
        return known.node

    def _grow(self, event: events.Event, *, count: int, depth: int) -> None:
        self._count += count
        self._deepest = max(self._deepest, depth)
        if depth > MAX_DEPTH:
            raise self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        if self._count > MAX_NODES:
            raise self._refuse(event, f"more than {MAX_NODES} values once aliases are expanded")

    def _check_tag(self, event: events.Event, tag: str | None, name: str) -> None:
        if tag not in (None, "!", _TAG + name):
            raise self._refuse(event, f"the tag {_shown(tag)} is not accepted")

    def _refuse(self, event: events.Event, message: str) -> ConfigError:
        column = event.start_mark.column + 1 if event.start_mark else 1
        return _refuse(f"{self._place}:{_line(event)}:{column}", message)


def _line(event: events.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _shown(tag: str) -> str:
    return tag.replace(_TAG, "!!")
