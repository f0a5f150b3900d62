"""What a use of an input's values means, in words for an operator."""

from __future__ import annotations

from collections.abc import Iterable

from mlserve.backends.tensorflow_tables import Word
from mlserve.backends.tensorflow_uses import Read

_LIKE_LAYERS = {
    "AsString": "Hashing",
    "Bucketize": "Discretization",
    "DenseBincount": "CategoryEncoding",
    "FloorMod": "IntegerLookup(num_oov_indices=2)",
    "GatherV2": "Embedding",
    "RegexReplace": "TextVectorization",
    "ResourceGather": "Embedding",
    "StaticRegexReplace": "TextVectorization",
    "StringFormat": "StringLookup(num_oov_indices=0)",
    "StringLower": "TextVectorization",
    "StringSplitV2": "TextVectorization",
    "StringToHashBucketFast": "Hashing and StringLookup(num_oov_indices=2)",
    "StringToHashBucketStrong": "Hashing and StringLookup(num_oov_indices=2)",
    "Sub": "Normalization",
}
"""What an operator may know an operation by: Keras layers that have it."""


def why_exact(use: Read) -> str:
    """Why an element with this use is exact, whatever else is done with it."""
    if not use.op:
        return f"it is the output {use.node!r}"
    if use.op.startswith("LookupTableFind"):
        return f"the table or the default of {use.node!r} is not known before a request"
    layers = _LIKE_LAYERS.get(use.op)
    return f"{use.op} reads it ({f'as in {layers}' if layers else repr(use.node)})"


def why_folded(tables: Iterable[tuple[str, int]], constants: Iterable[Word]) -> str:
    """What an element is looked up in, ``(node, number of words)`` for each table, and compared with."""
    named = [f"{node!r} ({count} word{'' if count == 1 else 's'})" for node, count in tables]
    compared = [repr(word) for word in constants]
    lookups = [f"looked up in table {' and '.join(named)}"] if named else []
    comparisons = [f"compared with {', '.join(compared)}"] if compared else []
    return ", ".join(lookups + comparisons) or "no output depends on it"
