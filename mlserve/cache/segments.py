"""How the segments of a key came to be, in words for a person: for ``explain`` and ``inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mlserve.cache.key import MAX_ELEMENTS, segments_of
from mlserve.types import Array, DType, InputField, Interface, Lookups, Rows, Vocabulary

_NOT_IN_KEY: Final = "not in the key: an auxiliary input that KeyFields does not name"


def explained_segments(interface: Interface, sent: Rows, canonical: Rows) -> list[list[dict[str, object]]]:
    """For each row one document per input, in key order: ``input``, ``value`` as sent, ``segment`` and ``rule``.

    ``canonical`` are the rows of ``sent`` in canonical form. Values may be numpy's.
    """
    rows: list[list[dict[str, object]]] = [[] for _ in range(sent.count)]
    for field in interface.inputs if rows else ():
        before, after = sent.columns[field.name], canonical.columns[field.name]
        for index, segment in enumerate(segments_of(field)(after)):
            rule = _rule(field, before[index : index + 1], after[index : index + 1])
            rows[index].append({"input": field.name, "value": before[index], "segment": segment, "rule": rule})
    return rows


def rule_of(field: InputField) -> str:
    """How the values of an input enter the key, whatever they are."""
    if field.auxiliary and not field.wildcard:
        return _NOT_IN_KEY
    if field.precision is not None:
        return _rounded(field.precision)
    if field.dtype.is_float:
        return "exact; Precision would round it"
    if field.lookups is None:
        return "exact"
    sentinel = next((vocabulary.sentinel for vocabulary in vocabularies_of(field.lookups)), None)
    return field.lookups.reason if sentinel is None else f"out of vocabulary: {sentinel}; {field.lookups.reason}"


def vocabularies_of(lookups: Lookups) -> Iterator[Vocabulary]:
    """That of all elements, then those of single ones, in their order."""
    if lookups.every is not None:
        yield lookups.every
    yield from (lookups.columns[place] for place in sorted(lookups.columns))


def _rule(field: InputField, before: Array, after: Array) -> str:
    """``before`` and ``after`` have one row."""
    if field.auxiliary and not field.wildcard:
        return _NOT_IN_KEY
    rule = _value_rule(field, before, after)
    if after.size > MAX_ELEMENTS and field.dtype is not DType.STRING:
        return f"{rule}; the segment is a digest of its {after.size} values"
    return rule


def _value_rule(field: InputField, before: Array, after: Array) -> str:
    if field.precision is not None:
        return f"{_rounded(field.precision)}, as the model sees it"
    lookups, exact = field.lookups, "the exact value" if field.shape == () else "the exact values"
    if lookups is None:
        return exact
    vocabularies = list(vocabularies_of(lookups))
    if not vocabularies:
        return f"{exact}: {lookups.reason.removeprefix('exact: ')}"
    return f"{_standing(field, vocabularies, before, after)}; {lookups.reason}"


def _standing(field: InputField, vocabularies: Sequence[Vocabulary], before: Array, after: Array) -> str:
    strangers = sum(one != other for one, other in zip(before.ravel().tolist(), after.ravel().tolist(), strict=True))
    sentinel = vocabularies[0].sentinel
    if field.shape != ():
        return f"out of vocabulary: {strangers or 'none'} of its {after.size} values" + (
            f", standing as {sentinel}" if strangers else ""
        )
    if strangers:
        return f"out of vocabulary: stands as {sentinel}"
    if any(after.item() in vocabulary.words for vocabulary in vocabularies):
        return "in the vocabulary"
    return f"{sentinel} itself, as which all that is out of vocabulary stands"


def _rounded(digits: int) -> str:
    return f"rounded to {digits} decimal{'s' if digits != 1 else ''}"
