"""Which values of an input a SavedModel tells apart: the words of all the tables that it is looked up in.

Proof, not habit: an input without a vocabulary here is one that some operation may look at in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from mlserve.backends.faults import brief
from mlserve.backends.tensorflow_graph import table_writer
from mlserve.backends.tensorflow_moves import Elements, Place, Table
from mlserve.backends.tensorflow_reasons import why_exact, why_folded
from mlserve.backends.tensorflow_tables import Contents, Unreadable, Word, as_words
from mlserve.backends.tensorflow_uses import Compared, Found, Read, Use, Uses, find_uses
from mlserve.types import UNKNOWN_NUMBER, UNKNOWN_WORD, Array, DType, Lookups, Signature, TensorSpec, Vocabulary

Tables = Mapping[str, Contents | Unreadable]


def prove_lookups(
    graph_def: Any,
    signature: Signature,
    feeds: Mapping[str, str],
    fetches: Mapping[str, str],
    read_tables: Callable[[Collection[str]], Tables],
) -> dict[str, Lookups]:
    """The lookups of every input. ``feeds`` and ``fetches``: names of the signature to tensors of the graph.

    ``read_tables`` is called once, with the names of nodes that make tables.
    """
    uses = find_uses(graph_def, {feeds[spec.name]: _elements(spec) for spec in signature.inputs}, fetches)
    needed = {
        use.table.node
        for found in uses.values()
        if not any(isinstance(use, Read) for use in found)
        for use in found
        if isinstance(use, Found)
    }
    writer = table_writer(graph_def, fetches.values())
    changing = Unreadable(f"may change while the model runs: {writer} does that")
    judge = _Judge(read_tables(needed) if writer is None else dict.fromkeys(needed, changing))
    return {spec.name: _lookups(spec, uses, judge) for spec in signature.inputs}


def _elements(spec: TensorSpec) -> Elements:
    """What a request puts into the tensor of an input. Elements of rows have places if rows are vectors."""
    match spec.shape:
        case (None | 1, int(columns)) if columns > 1:
            return Elements(frozenset([Place(spec.name)]), columns)
    return Elements(frozenset([Place(spec.name)]))


def _lookups(spec: TensorSpec, uses: Uses, judge: _Judge) -> Lookups:
    everywhere = uses.get(Place(spec.name), ())
    by_column = {place.column: found for place, found in uses.items() if place.name == spec.name}
    by_column.pop(None, None)
    if not by_column:
        vocabulary, reason = judge.verdict(spec.dtype, everywhere)
        return Lookups(reason, every=vocabulary)
    columns: dict[int, Vocabulary] = {}
    reasons: dict[str, list[str]] = {}
    for column in range(_elements(spec).columns or 0):
        vocabulary, reason = judge.verdict(spec.dtype, [*everywhere, *by_column.get(column, ())])
        reasons.setdefault(reason, []).append(str(column))
        if vocabulary is not None:
            columns[column] = vocabulary
    texts = [f"column {', '.join(numbers)} {reason}" for reason, numbers in reasons.items()]
    return Lookups(brief("; ".join(texts)), columns=columns)


class _Exact(Exception):
    """The text says why."""


class _Judge:
    """Knows the rule and the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._vocabularies: dict[tuple[Word, frozenset[str], frozenset[Word]], Vocabulary] = {}

    def verdict(self, dtype: DType, uses: Sequence[Use]) -> tuple[Vocabulary | None, str]:
        """The vocabulary of an element with these uses, and the reason; or none, and why not."""
        try:
            for use in uses:
                if isinstance(use, Read):
                    raise _Exact(why_exact(use))
            if dtype is not DType.STRING and not dtype.is_integer:
                raise _Exact(f"only words and integers have vocabularies, not {dtype}")
            return self._judge(UNKNOWN_WORD if dtype is DType.STRING else UNKNOWN_NUMBER, uses)
        except _Exact as reason:
            return None, brief(f"exact: {reason}")

    def _judge(self, sentinel: Word, uses: Iterable[Use]) -> tuple[Vocabulary, str]:
        tables: dict[str, Contents] = {}
        compared: list[Word] = []
        refused: set[Word] = set()
        for use in uses:
            if isinstance(use, Found):
                refused |= _refused(sentinel, use.table)
                tables[use.table.node] = self._contents(sentinel, use)
            elif isinstance(use, Compared):
                compared += as_words(use.constant.read())
        if sentinel in compared:
            raise _Exact(f"it is compared with {sentinel!r}, which would stand for unknown values")
        made = sentinel, frozenset(tables), frozenset(compared) | refused
        if made not in self._vocabularies:  # inputs that share a table share its words
            self._vocabularies[made] = Vocabulary(made[2].union(*(table.words for table in tables.values())), sentinel)
        counts = [(node, len(table.words) - len(refused.intersection(table.words))) for node, table in tables.items()]
        return self._vocabularies[made], brief(why_folded(counts, dict.fromkeys(compared)))

    def _contents(self, sentinel: Word, use: Found) -> Contents:
        name, found = use.table.node, self._tables[use.table.node]
        if isinstance(found, Unreadable):
            raise _Exact(f"table {name!r} {found.reason}")
        answer = found.answer(sentinel)
        if answer is not None and not _same(answer, use.default.read()):
            raise _Exact(f"{sentinel!r} is a word of its own in table {name!r}")
        return found


def _refused(sentinel: Word, table: Table) -> set[Word]:
    words = {word for constant in table.forbidden for word in as_words(constant.read())}
    if sentinel in words:
        raise _Exact(f"table {table.node!r} refuses {sentinel!r}, which would stand for unknown values")
    return words


def _same(answer: Array, default: Array) -> bool:
    """To the last bit: a NaN equals itself, and 0.0 is not -0.0."""
    if answer.dtype != default.dtype:
        return False
    if answer.dtype == object:
        return bool(answer.ravel().tolist() == default.ravel().tolist())
    return answer.tobytes() == default.tobytes()
