"""Vocabularies as ``check`` and ``inspect`` show them: how many words, and the first of them."""

from __future__ import annotations

from heapq import nsmallest
from typing import Final

from mlserve.cache.segments import vocabularies_of
from mlserve.types import Lookups, Vocabulary
from mlserve.values import shown

_FIRST: Final = 5
"""Words of one vocabulary."""
_COLUMNS: Final = 5
"""Columns of one input."""


def size_of(lookups: Lookups | None) -> str:
    """``4 words``, ``7 numbers in 2 columns``; nothing where all values are told apart."""
    known = [] if lookups is None else list(vocabularies_of(lookups))
    if lookups is None or not known:
        return ""
    columns = f" in {_counted(len(lookups.columns), 'column')}" if lookups.columns else ""
    return _counted(sum(map(len, known)), _noun(known[0])) + columns


def first_words(lookups: Lookups | None) -> str:
    """``4 words: 'de', 'fr', …``; for columns of their own a line each."""
    if lookups is None:
        return ""
    lines = [_first(lookups.every)] if lookups.every is not None else []
    lines += [f"column {place}: {_first(lookups.columns[place])}" for place in sorted(lookups.columns)]
    if len(lines) > _COLUMNS:
        lines[_COLUMNS:] = [f"and {len(lines) - _COLUMNS} more"]
    return "\n".join(lines)


def _first(vocabulary: Vocabulary) -> str:
    words = [shown(word) for word in nsmallest(_FIRST, vocabulary.words, key=_order)]
    more = ["…"] if len(vocabulary) > _FIRST else []
    counted = _counted(len(vocabulary), _noun(vocabulary))
    return f"{counted}: {', '.join(words + more)}" if words else counted


def _order(word: str | int) -> tuple[int, str]:
    return (word, "") if isinstance(word, int) else (0, word)


def _noun(vocabulary: Vocabulary) -> str:
    return "word" if isinstance(vocabulary.sentinel, str) else "number"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"
