"""Keys made of the two documents are the server's own, or rows of one are answered by another."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlserve.cache.key import KeyMaker
from mlserve.cache.layout import GENERATION_BYTES
from mlserve.cache.outer import NO_TIERS
from mlserve.client.description import Description, read_description
from mlserve.client.given import Given
from mlserve.client.options import Cache
from mlserve.client.version import Version
from mlserve.config.schema import Config
from mlserve.errors import BadAnswer
from mlserve.transport.mly.config import config_document
from mlserve.transport.mly.dictionary import dictionary_json, published_vocabulary
from mlserve.types import DType, InputField, Interface, Lookups, TensorSpec
from mlserve.values import rows_from_values
from mlserve.values.canonical import canonical_rows
from tests.support.ctr import CTR_STORE, HASH, SCORE, configured, ctr
from tests.support.deployments import interface
from tests.support.vocabularies import values_of, vocabularies, words

GENERATION = "0123456789abcdef" * 4
PLACE = "http://there:1"


def told(config: Config, face: Interface, *outputs: TensorSpec, cached: bool = True) -> Description:
    """What a client reads of the documents of a version, as they travel."""
    document = config_document(config.wanted_models()[0], face, outputs or (SCORE,), cached=cached)
    return read_description(orjson.dumps(document), dictionary_json(face, GENERATION), PLACE)


def test_the_worked_example() -> None:
    config, face = ctr()
    found = told(config, face)
    assert found.interface.inputs == face.inputs
    assert [field.lookups and field.lookups.every for field in found.interface.inputs] == [
        field.lookups and field.lookups.every for field in face.inputs
    ]
    assert (found.generation, found.interface.dict_hash) == (GENERATION, HASH)
    assert (found.size_mb, found.ttl_s, found.retry_s, found.tiers) == (64.0, 900.0, 5.0, ())
    assert found.outputs == {"score": SCORE}


def test_tiers_stand_by_place() -> None:
    store = CTR_STORE | {
        "Connection": "shared",
        "L2": {"Connection": "wide", "Namespace": "n", "Dataset": "d", "TimeToLiveMs": 5000},
    }
    connections = [{"ID": "shared", "URL": "redis://:secret@r:1/2"}, {"ID": "wide", "URL": "aerospike://a:3000"}]
    config, face = configured({"ID": "m", "URL": "m", "DataStore": "ctrcache"}, store, connections=connections)
    first, second = told(config, face).tiers
    assert (first.label, first.connection, first.records, first.ttl_s) == ("l1", "shared", False, 900.0)
    assert (second.label, second.connection, second.records, second.ttl_s) == ("l2", "wide", True, 5.0)
    assert (second.namespace, second.dataset) == ("n", "d")


@pytest.mark.parametrize(
    ("cached", "store", "hashed"), [(False, CTR_STORE, True), (True, None, True), (True, CTR_STORE, False)]
)
def test_what_may_not_be_kept_has_no_generation(cached: bool, store: Any, hashed: bool) -> None:
    """Without one there is no key, so nothing can be kept or found by mistake."""
    model: dict[str, Any] = {"ID": "m", "URL": "m"} | ({"DataStore": "ctrcache"} if store else {})
    config, face = configured(model, store, dict_hash=HASH if hashed else None)
    assert told(config, face, cached=cached).generation is None


def test_disabled_is_heeded() -> None:
    config, face = ctr(store=CTR_STORE | {"Disabled": True})
    assert told(config, face).generation is None


@pytest.mark.parametrize(
    ("config", "dictionary"),
    [
        (b"{}", b"null"),
        (b"[]", b"null"),
        (b"not json", b"null"),
        (b'{"Inputs":[{"Name":"x","DataType":"quaternion"}],"Outputs":[]}', b"null"),
        (b'{"ID":"","Inputs":[],"Outputs":[]}', b'{"Layers":null}'),
        (b'{"ID":"d","Inputs":[],"Outputs":[]}', b'{"Layers":null,"Hash":1,"Generation":"xyz"}'),
        (b'{"ID":"d","Inputs":[]}', b'{"Layers":null,"Hash":1,"Generation":"00"}'),
    ],
)
def test_what_is_not_understood_is_told(config: bytes, dictionary: bytes) -> None:
    with pytest.raises(BadAnswer, match="http://there:1 describes the model in a way"):
        read_description(config, dictionary, PLACE)


FIELDS = st.sampled_from([DType.STRING, DType.INT64, DType.INT32, DType.FLOAT32, DType.FLOAT64, DType.BOOL])


@st.composite
def fields(draw: st.DrawFn, name: str) -> InputField:
    """Any input that is one value: exact, rounded, folded, wildcard, or auxiliary."""
    dtype = draw(FIELDS)
    if dtype in (DType.FLOAT32, DType.FLOAT64):
        return InputField(name, dtype, (), precision=draw(st.none() | st.integers(1, 4)))
    if draw(st.booleans()):
        return InputField(name, dtype, (), auxiliary=True, wildcard=draw(st.booleans()))
    if dtype is DType.BOOL or draw(st.booleans()):
        return InputField(name, dtype, ())
    columns = {0: draw(vocabularies(dtype))} if draw(st.booleans()) else {}
    field = InputField(name, dtype, (), lookups=Lookups("t", draw(vocabularies(dtype)), columns))
    assume(published_vocabulary(field) is not None)
    return field


def plain(dtype: DType) -> st.SearchStrategy[Any]:
    if dtype is DType.BOOL:
        return st.booleans()
    if dtype.is_float:
        return st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from([1.005, -0.0, 2.5])
    return values_of(dtype)


@given(st.data())
def test_a_client_s_keys_are_the_server_s(data: st.DataObject) -> None:
    """Whatever the types, the rules and the values: made of the two documents alone."""
    face = interface(*(data.draw(fields(name)) for name in "abc"), outputs=(SCORE,))
    count = data.draw(st.integers(1, 3))
    values = {
        field.name: data.draw(st.lists(plain(field.dtype), min_size=count, max_size=count)) for field in face.inputs
    }
    config, _ = ctr()
    asked = Version(told(config, face), Cache(), NO_TIERS).understand(Given(values, None))
    assert asked is not None
    rows, batch = rows_from_values(face, values, None, 100)
    prefix = bytes.fromhex(GENERATION)[:GENERATION_BYTES]
    keys = KeyMaker(face).keys(canonical_rows(rows, face))
    assert asked.keys == [prefix + key.encode("utf-8", "surrogatepass") for key in keys]
    assert asked.batch is batch


def test_words_without_a_form_cost_a_hit_and_nothing_else() -> None:
    """A vocabulary that JSON cannot carry: what is out of it has a key that no server stores under."""
    face = interface(InputField("s", DType.STRING, (), lookups=Lookups("t", words("a", "\udcff"))), outputs=(SCORE,))
    config, _ = ctr()
    asked = Version(told(config, face), Cache(), NO_TIERS).understand(Given({"s": ["a", "zz"]}, None))
    assert asked is not None
    assert [key[GENERATION_BYTES:] for key in asked.keys] == [b"a", b"zz"]


@pytest.mark.parametrize("values", [{"x": float("nan")}, {"x": [1.0, float("inf")]}, {"x": "a"}, {"y": 1}, {"x": None}])
def test_what_a_server_would_understand_otherwise_is_not_looked_for(values: dict[str, Any]) -> None:
    """JSON makes null of NaN: the answer to that, or the refusal, is not the answer to what was given."""
    config, _ = ctr()
    face = interface(InputField("x", DType.FLOAT32, ()), outputs=(SCORE,))
    assert Version(told(config, face), Cache(), NO_TIERS).understand(Given(values, None)) is None


@pytest.mark.parametrize(
    ("cache", "size_mb", "kept"),
    [
        (Cache(), 64, True),
        (Cache(local=False), 64, False),
        (Cache(size_mb=0), 64, False),
        (Cache(), None, False),
        (Cache(size_mb=1), None, True),
    ],
)
def test_memory_of_its_own_is_the_owner_s_choice(cache: Cache, size_mb: int | None, kept: bool) -> None:
    store = CTR_STORE | {"Cache": {"SizeMb": size_mb}} if size_mb else {"ID": "ctrcache"}
    config, face = ctr(store=store)
    version = Version(told(config, face), cache, NO_TIERS)
    assert (version.local is not None) is version.caches is kept


def test_ranks_are_read_as_they_are_told() -> None:
    """A row of unknown rank that passed for one value would be taken for a batch."""
    config, _ = ctr()
    shapes = ((), (3,), (None, 2), None)
    face = interface(*(InputField(f"x{index}", DType.FLOAT32, shape) for index, shape in enumerate(shapes)))
    found = told(config, face, SCORE, TensorSpec("v", DType.FLOAT32, (None, None)))
    assert tuple(field.shape for field in found.interface.inputs) == shapes
    assert found.outputs["v"].shape == (None, None)
    assert np.dtype(np.float32) == found.outputs["v"].dtype.numpy
