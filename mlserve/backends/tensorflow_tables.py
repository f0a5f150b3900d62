"""Reads lookup tables out of a session into which a SavedModel has been loaded, vocabulary files and all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlserve.backends.faults import brief
from mlserve.types import Array

LARGEST = 5_000_000
"""Of as many words, a vocabulary takes about a gigabyte, and loading it half a minute."""

Word = str | int


@dataclass(frozen=True, slots=True)
class Contents:
    """``words`` are the table's keys, and ``values[i]`` is what it answers to ``words[i]``."""

    words: Sequence[Word]
    values: Array

    def answer(self, word: Word) -> Array | None:
        """What the table holds under ``word``; ``None`` if nothing."""
        return self.values[self.words.index(word), ...] if word in self.words else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A table that is no vocabulary. ``reason`` is the end of a sentence that begins with the table."""

    reason: str


def read_tables(session: Any, nodes: Collection[str]) -> dict[str, Contents | Unreadable]:
    """What the tables hold that these nodes of the session's graph make, at the cost of one run.

    An operation for each is added to the graph, and stays there unused. For a moment, memory holds the tables twice.
    """
    from tensorflow import errors

    exports = {node: _export(session.graph, node) for node in nodes}
    try:
        return {node: _contents(*pair) for node, pair in session.run(exports).items()} if exports else {}
    except errors.OpError as error:
        if len(exports) == 1:
            unfilled = isinstance(error, errors.AbortedError | errors.FailedPreconditionError)
            text = "is not filled as the model is loaded" if unfilled else f"cannot be read: {brief(error.message)}"
            return dict.fromkeys(exports, Unreadable(text))
    return {node: found for one in exports for node, found in read_tables(session, [one]).items()}


def as_words(values: Array) -> list[Word]:
    """Strings and integers of TensorFlow's arrays as requests have them."""
    if values.dtype == object:
        return [value.decode("utf-8", "surrogateescape") for value in values.flat]
    words: list[Word] = values.ravel().tolist()
    return words


def _export(graph: Any, node: str) -> Any:
    from tensorflow import raw_ops

    made = graph.get_operation_by_name(node)
    handle = made.outputs[0]
    # Tables were references to strings before they were resources (TensorFlow 1.3).
    export = raw_ops.LookupTableExportV2 if handle.dtype.name == "resource" else raw_ops.LookupTableExport
    with graph.as_default():
        return export(table_handle=handle, Tkeys=made.get_attr("key_dtype"), Tvalues=made.get_attr("value_dtype"))


def _contents(keys: Array, values: Array) -> Contents | Unreadable:
    if keys.dtype.kind not in "Oiu" or keys.size != len(keys):
        return Unreadable(f"has keys that are neither words nor integers ({keys.dtype}{list(keys.shape)})")
    if keys.ndim > 1:  # a dense table gives all its buckets, most of which hold the key that stands for empty ones
        keys, first = np.unique(keys, return_index=True)
        values = values[first]
    if len(keys) > LARGEST:
        return Unreadable(f"has {len(keys)} words, more than {LARGEST}")
    return Contents(as_words(keys), values)
