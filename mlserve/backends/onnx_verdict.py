"""From the uses of an input's columns to its vocabularies, and to the words that explain them to a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mlserve.backends.onnx_tables import Words
from mlserve.types import Lookups, Vocabulary

_MOST_USES: Final = 2
_MOST_GROUPS: Final = 4
"""So many are told one by one; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one node does with a value: tells ``words`` from all others, or reads it (``None``)."""

    text: str
    words: Words | None = None


def lookups_of(columns: Sequence[Collection[Use]], sentinel: str | int) -> Lookups:
    """What the uses of each column of an input prove; one column stands for all elements."""
    judged: dict[tuple[Use, ...], tuple[Vocabulary | None, str]] = {}
    verdicts = []
    for uses in map(tuple, columns):
        if uses not in judged:
            judged[uses] = _judge(uses, sentinel)
        verdicts.append(judged[uses])
    reason = _summary([text for _, text in verdicts])
    first = verdicts[0][0]
    if all(vocabulary == first for vocabulary, _ in verdicts):
        return Lookups(reason, every=first)
    return Lookups(
        reason, columns={place: vocabulary for place, (vocabulary, _) in enumerate(verdicts) if vocabulary is not None}
    )


def _judge(uses: Sequence[Use], sentinel: str | int) -> tuple[Vocabulary | None, str]:
    words: set[str | int] = set()
    for use in uses:
        if use.words is None:
            return None, f"exact: {use.text}"
        words |= use.words
    if sentinel in words:
        return None, f"exact: {sentinel!r} is a category of its own"
    return Vocabulary(words, sentinel), " and ".join(_cut([use.text for use in uses], _MOST_USES)) or "nothing reads it"


def _summary(texts: Sequence[str]) -> str:
    """``texts`` of all columns; those of many columns with one text together."""
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        groups.setdefault(text, []).append(place)
    if len(groups) == 1:
        return texts[0]
    told = [f"column{'s'[: len(places) > 1]} {_ranges(places)} {text}" for text, places in groups.items()]
    return "; ".join(_cut(told, _MOST_GROUPS))


def _ranges(places: Iterable[int]) -> str:
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return ", ".join(_cut([f"{a}" if a == b else f"{a}-{b}" for a, b in runs], _MOST_GROUPS))


def _cut(texts: Sequence[str], most: int) -> Sequence[str]:
    return texts if len(texts) <= most else [*texts[:most], f"{len(texts) - most} more"]
