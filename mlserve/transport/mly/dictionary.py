"""``meta/dictionary``: by which words clients fold the values of inputs, and the hash of the version they hold for.

``Hash`` is the ``dictHash`` of every answer. A layer's own ``Hash``, which nobody compares, is the beginning of its
vocabulary's digest.
"""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import orjson

from mlserve.cache.mly_key import is_utf8
from mlserve.cache.segments import vocabularies_of
from mlserve.serving.generation import generation_number
from mlserve.types import InputField, Interface, Vocabulary

_INT64: Final = np.iinfo(np.int64)


def dictionary_json(interface: Interface, generation: str) -> bytes:
    """The document of one version; ``null`` without a ``dict_hash``. Takes time with large vocabularies."""
    if interface.dict_hash is None:
        return b"null"
    known = interface.derived(published_vocabularies)
    layers = [_layer(name, known[name]) for name in sorted(known)]
    return orjson.dumps({"Layers": layers or None, "Hash": interface.dict_hash, "Generation": generation})


def published_vocabularies(interface: Interface) -> dict[str, Vocabulary]:
    """By the names of those inputs that have one; ask for it through :meth:`Interface.derived`."""
    known = ((field.name, published_vocabulary(field)) for field in interface.inputs)
    return {name: vocabulary for name, vocabulary in known if vocabulary is not None}


def published_vocabulary(field: InputField) -> Vocabulary | None:
    """The words by which clients fold an input as the server does; ``None`` if they are to take its values exactly.

    So they do where JSON has no form for a word, or Go's reader no number: a client that does not know it would take
    the answer to all unknown values for the answer to this one.
    """
    vocabulary = _of_all_elements(field)
    return vocabulary if vocabulary is not None and _has_a_form(vocabulary) else None


def printable(name: str) -> str:
    """``name`` with bytes that are not UTF-8 as question marks."""
    return name.encode("utf-8", "replace").decode()


def _of_all_elements(field: InputField) -> Vocabulary | None:
    lookups = field.lookups
    if lookups is None or (lookups.columns and field.shape != ()):
        return None
    known = list(vocabularies_of(lookups))
    if len(known) < 2:
        return known[0] if known else None
    # A scalar is its own only column: a word of any of its tables stays.
    return Vocabulary(frozenset[str | int]().union(*(it.words for it in known)), known[0].sentinel)


def _has_a_form(vocabulary: Vocabulary) -> bool:
    if isinstance(vocabulary.sentinel, str):
        return is_utf8("".join(cast("frozenset[str]", vocabulary.words)))
    return all(_INT64.min <= int(word) <= _INT64.max for word in vocabulary.words)


def _layer(name: str, vocabulary: Vocabulary) -> dict[str, Any]:
    words: list[Any] = sorted(vocabulary.words)  # by code points, which is by bytes of UTF-8
    texts = isinstance(vocabulary.sentinel, str)
    return {
        "Name": printable(name),
        "Strings": words if texts else None,
        "Ints": None if texts else words,
        "Hash": generation_number(vocabulary.digest),
    }
