"""Records that mly's clients read: what is written reads back bit for bit, and what others left there is a miss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.cache.layout import Damaged, Expired, Stale, Stored
from mlserve.cache.mly import MlyLayout, unfit
from mlserve.cache.payload import decode, encode
from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES, Bin, Record
from mlserve.types import DType, InputField, Interface, Rows, Serving, TensorSpec
from tests.support.deployments import interface, rows

DICT_HASH = -7408354822416734953
KEY = b"\0" * 16 + b"1.23"
"""Not looked at: the store finds a record by the text of mly's key."""
NUMBERS = [dtype for dtype in DType if dtype.is_float or dtype.is_integer]
INPUT = InputField("s", DType.STRING, ())


def face(*outputs: TensorSpec, **rest: Any) -> Interface:
    return interface(INPUT, outputs=outputs, dict_hash=DICT_HASH, **rest)


def layout(*outputs: TensorSpec, longest_life_s: float = 900.0) -> MlyLayout:
    return MlyLayout(face(*outputs), longest_life_s=longest_life_s)


SCORE = TensorSpec("score", DType.FLOAT32, (None, 1))
LABEL = TensorSpec("label", DType.STRING, (None,))
LAYOUT = layout(SCORE, LABEL)
TRANSFORMED = MlyLayout(interface(INPUT, outputs=None, dict_hash=DICT_HASH), longest_life_s=900.0)


def objects(*values: Any) -> Any:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def payload_of(**columns: Any) -> bytes:
    (payload,) = encode(Rows(columns, 1))
    return payload


PAYLOAD = payload_of(score=np.array([[0.1]], np.float32), label=objects("Adelie"))
BINS: Mapping[str, Bin] = {"score": 0.10000000149011612, "label": "Adelie", "dictHash": DICT_HASH}


def bins_of(written: Record | None) -> Mapping[str, Bin]:
    assert written is not None
    return written.bins


def written(layout: MlyLayout, payload: bytes) -> Record | None:
    return layout.write(KEY, payload, 0.0, 30.0)


def test_a_record_is_as_mlys_servers_write_it() -> None:
    """Go clients read these bins by name and type; one more breaks those that read into a plain struct."""
    record = written(LAYOUT, PAYLOAD)
    assert record == Record(dict(BINS), 30.0)
    assert LAYOUT.read(KEY, record, 0.0) == Stored(PAYLOAD, 30.0, None)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (DType.INT64, 25, 25),
        (DType.FLOAT32, 3.5714285, 3.5714285373687744),
        (DType.FLOAT32, 3.1436427, 3.1436426639556885),
        (DType.FLOAT32, 3.4571428, 3.4571428298950195),
    ],
)
def test_bins_hold_what_mly_stores_for_its_own_models(dtype: DType, value: Any, expected: Bin) -> None:
    """Records of an mly server and ours stand side by side while one replaces the other."""
    spec = TensorSpec("expand", dtype, (None, 1))
    record = written(layout(spec), payload_of(expand=np.array([[value]], dtype.numpy)))
    assert bins_of(record) == {"expand": expected, "dictHash": DICT_HASH}


@pytest.mark.parametrize("dtype", NUMBERS)
@given(data=st.data())
def test_numbers_come_back_bit_for_bit(dtype: DType, data: st.DataObject) -> None:
    """A cached answer would differ from the fresh one. What a bin cannot hold is not written, and that is little."""
    kind = dtype.numpy
    bits = data.draw(st.binary(min_size=kind.itemsize, max_size=kind.itemsize))
    value = np.frombuffer(bits, kind)
    shape = data.draw(st.sampled_from([(1,), (1, 1)]))
    own = layout(TensorSpec("y", dtype, (None, *shape[1:])))
    payload = payload_of(y=value.reshape(shape))
    record = written(own, payload)
    if record is not None:
        assert own.read(KEY, record, 0.0).payload == payload
    else:
        assert math.isnan(value.item()) if dtype.is_float else value.item() >= 2**63


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, -0.0, 1e-45, 3.4028235e38])
def test_odd_floats_fit(value: float) -> None:
    """A model that answers with them is cached like any other."""
    spec = TensorSpec("y", DType.FLOAT32, (None,))
    payload = payload_of(y=np.array([value], np.float32))
    record = written(layout(spec), payload)
    assert record is not None
    assert layout(spec).read(KEY, record, 0.0).payload == payload


# Not one alphabet of both: characters that are named beside a million others are never drawn.
@given(st.text(st.sampled_from("a\0\udcff"), max_size=3) | st.text(max_size=5))
def test_strings_come_back_as_they_were(text: str) -> None:
    """Aerospike's client cuts text at a zero byte, and ends the process for text that is not UTF-8."""
    own = layout(LABEL)
    payload = payload_of(label=objects(text))
    record = written(own, payload)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        assert record is None
    else:
        assert record is not None
        assert own.read(KEY, record, 0.0).payload == payload


@pytest.mark.parametrize(
    "columns",
    [
        {"score": np.array([[0.1]], np.float32)},
        {"label": objects("Adelie"), "score": np.array([[0.1]], np.float32)},
        {"score": np.array([[0.1]]), "label": objects("Adelie")},
        {"score": np.array([0.1], np.float32), "label": objects("Adelie")},
        {"score": np.array([[0.1, 0.2]], np.float32), "label": objects("Adelie")},
        {"score": np.array([[0.1]], np.float32), "label": objects(7)},
        {"score": np.array([[0.1]], np.float32), "label": objects("Adelie"), "more": np.ones(1)},
    ],
    ids=["one less", "order", "dtype", "rank", "wider", "no string", "one more"],
)
def test_an_answer_that_would_read_back_otherwise_is_not_written(columns: Any) -> None:
    """A runtime may answer in other types or shapes than it declares."""
    assert written(LAYOUT, payload_of(**columns)) is None


def test_what_is_no_payload_or_too_large_is_not_written() -> None:
    """The tier goes on without that row."""
    assert written(LAYOUT, b"") is None
    assert written(layout(LABEL), payload_of(label=objects("x" * MAX_VALUE_BYTES))) is None


@pytest.mark.parametrize("found", [None, 0, DICT_HASH + 1, str(DICT_HASH)])
def test_a_record_of_another_version_is_stale(found: Any) -> None:
    """Clients take one without dictHash for good for ever; here it would answer for a model that has changed."""
    bins = {name: value for name, value in BINS.items() if name != "dictHash"}
    if found is not None:
        bins["dictHash"] = found
    with pytest.raises(Stale, match="dictHash is"):
        LAYOUT.read(KEY, Record(bins, 30.0), 0.0)


def test_a_dict_hash_is_an_integer_and_nothing_else() -> None:
    """``True`` and ``1.0`` are equal to 1, and no bin that anybody wrote as a version."""
    own = MlyLayout(interface(INPUT, outputs=(LABEL,), dict_hash=1), longest_life_s=900.0)
    for found in (True, 1.0):
        with pytest.raises(Stale):
            own.read(KEY, Record({"label": "a", "dictHash": found}, 30.0), 0.0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"score": None}, "bin 'score' is missing, or one too many"),
        ({"other": 1}, "bin 'other' is missing, or one too many"),
        ({"score": 1}, "bin 'score' holds 1, expected float32"),
        ({"score": "0.1"}, "bin 'score' holds '0.1', expected float32"),
        ({"score": 0.1}, "bin 'score' holds 0.1, expected float32"),
        ({"score": 1e300}, r"bin 'score' holds 1e\+300, expected float32"),
        ({"label": 1.0}, "bin 'label' holds 1.0, expected string"),
        ({"label": "x" * MAX_VALUE_BYTES}, "an answer of"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value)[:30],
)
def test_a_merged_or_foreign_record_is_damaged(changed: Mapping[str, Any], said: str) -> None:
    """A plain put of another client leaves the bins of two answers in one record."""
    bins = {name: value for name, value in {**BINS, **changed}.items() if value is not None}
    with pytest.raises(Damaged, match=said):
        LAYOUT.read(KEY, Record(bins, 30.0), 0.0)


@pytest.mark.parametrize(("dtype", "value"), [(DType.INT8, 128), (DType.UINT8, -1), (DType.INT32, 2**31)])
def test_an_integer_too_large_for_the_output_is_damaged(dtype: DType, value: int) -> None:
    """It would wrap to another number."""
    own = layout(TensorSpec("n", dtype, (None,)))
    with pytest.raises(Damaged, match=f"holds {value}, expected {dtype}"):
        own.read(KEY, Record({"n": value, "dictHash": DICT_HASH}, 30.0), 0.0)
    with pytest.raises(Damaged, match=f"holds True, expected {dtype}"):
        own.read(KEY, Record({"n": True, "dictHash": DICT_HASH}, 30.0), 0.0)


BIN_VALUES = st.integers(-1) | st.floats(width=32) | st.text(max_size=3) | st.booleans()


@given(st.fixed_dictionaries(dict.fromkeys(("score", "label", "n"), BIN_VALUES)))
def test_no_record_does_more_than_miss(bins: dict[str, Any]) -> None:
    """An exception that the chain does not expect would cost a request that the model can answer."""
    own = layout(SCORE, LABEL, TensorSpec("n", DType.UINT64, (None,)))
    for hashed in ({"dictHash": DICT_HASH}, {}):
        record = Record(bins | hashed, 30.0)
        try:
            stored = own.read(KEY, record, 0.0)
        except (Damaged, Stale):
            continue
        answer = {name: column.item() for name, column in decode([stored.payload]).columns.items()}
        assert repr(answer) == repr({name: bins[name] for name in ("score", "label", "n")})


def test_a_record_lives_no_longer_than_the_tier_says() -> None:
    """A record without an end would stay in memory, and be promoted, for ever."""
    lives = {None: 900.0, 30.0: 30.0, 4e9: 900.0}
    for ttl_s, expected in lives.items():
        assert LAYOUT.read(KEY, Record(BINS, ttl_s), 0.0).ttl_s == expected
    for ttl_s in (0.0, -1.0):
        with pytest.raises(Expired):
            LAYOUT.read(KEY, Record(BINS, ttl_s), 0.0)


def test_rows_stand_under_the_keys_of_mlys_clients() -> None:
    """Under any other name they find nothing; a row without such a key, or one that the client cuts, has no place."""
    long = "x" * MAX_NAME_BYTES
    texts = ["a/b", "", "a\0b", "\udcff", long, long + "x", "é" * 251]
    assert LAYOUT.names([KEY] * len(texts), rows(s=texts)) == ["a/b", None, None, None, long, None, None]


def test_outputs_of_a_transformer_are_written_and_not_read() -> None:
    """Its clients have a struct for them; here a double could be a float32 or not, and the answer would change."""
    assert TRANSFORMED.written_only is not None
    assert LAYOUT.written_only is None
    answer = {"Class": objects("five"), "rank": objects(2), "p": np.array([0.5], np.float32), "q": objects(0.25)}
    record = written(TRANSFORMED, payload_of(**answer))
    assert bins_of(record) == {"Class": "five", "rank": 2, "p": 0.5, "q": 0.25, "dictHash": DICT_HASH}
    assert record is not None
    with pytest.raises(Damaged, match="a transformer decides"):
        TRANSFORMED.read(KEY, record, 0.0)


@pytest.mark.parametrize(
    "column",
    [
        objects({"a": 1}),
        objects([1]),
        objects(None),
        objects(2**63),
        objects("\udcff"),
        np.array([True]),
        np.ones(1, np.complex64),
        np.ones((1, 2)),
        np.ones((1, 0)),
        np.ones((1, 1, 1)),
    ],
    ids=["map", "list", "nothing", "large", "not UTF-8", "bool", "complex", "wide", "empty", "rank 3"],
)
def test_what_no_bin_holds_is_not_written(column: Any) -> None:
    """A transformer may answer with anything."""
    assert written(TRANSFORMED, payload_of(y=column)) is None


@pytest.mark.parametrize("name", ["dictHash", "probabilities_of", "", "a\0", "é" * 8])
def test_names_that_no_bin_can_have(name: str) -> None:
    """The store would refuse the record, or clients would take the output for the version."""
    assert written(TRANSFORMED, payload_of(**{name: np.ones(1)})) is None
    assert unfit(face(TensorSpec(name, DType.FLOAT32, (None,)))) is not None


@pytest.mark.parametrize(
    ("interface", "said"),
    [
        (face(SCORE, LABEL), None),
        (face(TensorSpec("fifteen_letters", DType.INT8, (1, 1))), None),
        (interface(INPUT, outputs=None), None),
        (face(TensorSpec("sixteen__letters", DType.INT8, (None,))), "'sixteen__letters' has a name of 16 bytes"),
        (face(TensorSpec("dictHash", DType.INT64, (None,))), "'dictHash' has the name of the bin"),
        (face(TensorSpec("", DType.INT64, (None,))), "'' has a name that no bin can have"),
        (face(LABEL, TensorSpec("p", DType.FLOAT32, (None, 3))), r"output p: float32\[-1,3\] is not one value per row"),
        (face(TensorSpec("p", DType.FLOAT32, (None, None))), "is not one value per row"),
        (face(TensorSpec("p", DType.FLOAT32, None)), "is not one value per row"),
        (face(TensorSpec("p", DType.FLOAT32, ())), "is not one value per row"),
        (face(TensorSpec("p", DType.BOOL, (None,))), "'p' is bool; records hold strings, integers and floats"),
        (face(TensorSpec("p", DType.JSON, (None,))), "'p' is json"),
        (face(SCORE, serving=Serving.WHOLE), "the model is not served by rows"),
        (replace(face(SCORE), dict_hash=None), "it has no dictHash"),
        (replace(face(SCORE), dict_hash=0), "it has no dictHash"),
        (replace(face(SCORE), inputs=(InputField("x", DType.INT8, ()),)), "input 'x' is int8"),
    ],
)
def test_a_model_that_does_not_fit_says_why(interface: Interface, said: str | None) -> None:
    """``mlserve check`` tells the user, who would else wonder why the tier stays empty."""
    reason = unfit(interface)
    if said is None:
        assert reason is None
        MlyLayout(interface, longest_life_s=900.0)
        return
    assert reason is not None
    with pytest.raises(ValueError, match=said):
        MlyLayout(interface, longest_life_s=900.0)


def test_narrow_floats_of_other_libraries_fit_too() -> None:
    """bfloat16 is no numpy type of its own."""
    own = layout(TensorSpec("y", DType.BFLOAT16, (None,)))
    payload = payload_of(y=np.array([1.5], ml_dtypes.bfloat16))
    assert bins_of(written(own, payload))["y"] == 1.5
