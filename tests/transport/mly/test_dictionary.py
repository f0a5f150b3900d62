"""Clients would fold what the server does not, or fetch the dictionary for ever, if these failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport.mly.dictionary import dictionary_json, published_vocabulary
from mlserve.types import DType, InputField, Lookups, Vocabulary
from mlserve.values.folding import folding
from tests.support.ctr import HASH, configured, ctr
from tests.support.deployments import interface
from tests.support.vocabularies import column_of, numbers, values_of, vocabularies, words

GENERATION = "0123456789abcdef" * 4


def without_hashes(text: bytes) -> Any:
    document = orjson.loads(text)
    for layer in document["Layers"] or ():
        assert layer.pop("Hash") not in (0, -(2**63))
    return document


def test_the_worked_example() -> None:
    """Layers by name, entries in order, the other kind ``null``, the hash of answers; those of layers are ours."""
    _, face = ctr()
    assert without_hashes(dictionary_json(face, GENERATION)) == {
        "Layers": [
            {"Name": "age", "Strings": None, "Ints": [-1, 0, 25, 30]},
            {"Name": "country", "Strings": ["", "[UNK]", "de", "us"], "Ints": None},
            {"Name": "site", "Strings": ["", "[UNK]", "a.com", "b.com"], "Ints": None},
        ],
        "Hash": HASH,
        "Generation": GENERATION,
    }


def test_members_stand_in_mly_s_order() -> None:
    """Scripts cut such documents with text tools."""
    _, face = configured({"ID": "m", "URL": "m"})
    text = dictionary_json(face, "00").decode()
    assert text.startswith('{"Layers":[{"Name":"sa","Strings":["","[UNK]","a","b","c"],"Ints":null,"Hash":')
    assert text.endswith(f'}}],"Hash":{HASH},"Generation":"00"}}')


def test_no_layers_and_no_dictionary() -> None:
    """``null`` for both: the first has a hash, the second (``UseDict: false``) nothing at all."""
    assert orjson.loads(dictionary_json(interface(), "00")) == {"Layers": None, "Hash": 7, "Generation": "00"}
    assert dictionary_json(interface(dict_hash=None), "00") == b"null"


def test_strings_are_sorted_by_their_bytes() -> None:
    """Go's client searches them so."""
    face = interface(
        InputField("s", DType.STRING, (), lookups=Lookups("t", words("é", "z", "Z", "\U0001f600", "\uffff")))
    )
    (layer,) = orjson.loads(dictionary_json(face, "00"))["Layers"]
    assert layer["Strings"] == sorted(layer["Strings"], key=str.encode)
    assert len(layer["Strings"]) == 5


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (InputField("s", DType.STRING, (), lookups=Lookups("exact")), None),
        (InputField("s", DType.STRING, ()), None),
        (InputField("f", DType.FLOAT32, (), precision=2), None),
        (InputField("s", DType.STRING, (), lookups=Lookups("t", None, {0: words("a")})), words("a")),
        (InputField("s", DType.STRING, (), lookups=Lookups("t", words("b"), {0: words("a")})), words("a", "b")),
        (InputField("s", DType.STRING, (3,), lookups=Lookups("t", words("b"))), words("b")),
        (InputField("s", DType.STRING, (3,), lookups=Lookups("t", words("b"), {0: words("a")})), None),
        (InputField("s", DType.STRING, (3,), lookups=Lookups("t", None, {0: words("a")})), None),
        (InputField("s", DType.STRING, (), lookups=Lookups("t", words())), words()),
        (InputField("s", DType.STRING, (), lookups=Lookups("t", words("a", "\udcff"))), None),
        (InputField("i", DType.UINT64, (), lookups=Lookups("t", numbers(2**63))), None),
        (InputField("i", DType.UINT64, (), lookups=Lookups("t", numbers(2**63 - 1))), numbers(2**63 - 1)),
    ],
)
def test_which_inputs_have_a_layer(field: InputField, told: Vocabulary | None) -> None:
    """Those whose every value is folded by one list of words that clients can read."""
    assert published_vocabulary(field) == told


@given(st.data())
def test_a_client_folds_as_the_server_does(data: st.DataObject) -> None:
    """By the layer alone, a client must come to the value that the server sees, for whatever value."""
    dtype = data.draw(st.sampled_from([DType.STRING, DType.INT32, DType.INT64]))
    vocabulary = vocabularies(dtype)
    lookups = Lookups("t", data.draw(st.none() | vocabulary), data.draw(st.dictionaries(st.just(0), vocabulary)))
    field = InputField("x", dtype, (), lookups=lookups)
    told = published_vocabulary(field)
    fold = folding(lookups)
    if told is None or fold is None:
        return
    (layer,) = orjson.loads(dictionary_json(interface(field), "00"))["Layers"]
    known = layer["Strings"] if dtype is DType.STRING else layer["Ints"]
    values = data.draw(st.lists(values_of(dtype), min_size=1, max_size=5))
    by_client = [value if value in known else "[UNK]" if dtype is DType.STRING else 0 for value in values]
    assert np.asarray(fold(column_of(dtype, values))).tolist() == by_client
