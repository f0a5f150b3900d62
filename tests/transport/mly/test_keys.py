"""A client that makes keys of the two documents alone would find nothing, or another row's answer, if these failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.cache.mly_key import mly_keys
from mlserve.config.schema import ModelConfig
from mlserve.contracts.protocol import Call
from mlserve.protocols.eval import EvalProtocol
from mlserve.transport.mly.config import config_document
from mlserve.transport.mly.dictionary import dictionary_json
from mlserve.types import DType, InputField, Interface, Lookups, Rows
from mlserve.values.canonical import canonical_rows
from tests.support import mly_message
from tests.support.ctr import SCORE, configured, ctr
from tests.support.deployments import interface
from tests.support.eval_requests import request
from tests.support.mly_message import Value
from tests.support.mly_rule import KeyRule
from tests.support.vocabularies import numbers, words

EMPTY = {"Strings": [], "Ints": None}
LETTERS = {"Strings": ["", "[UNK]", "a", "b", "c"], "Ints": None}


def rule_of(face: Interface, config: ModelConfig | None = None) -> KeyRule:
    """What a client makes of the documents, as they travel."""
    document = config_document(config or ModelConfig(id="m", url="m"), face, (SCORE,), cached=True)
    return KeyRule(orjson.loads(orjson.dumps(document)), orjson.loads(dictionary_json(face, "00")))


def rule(*entries: dict[str, Any], **layers: dict[str, Any]) -> KeyRule:
    """Of documents that are written here, as mly might send them."""
    return KeyRule({"Inputs": entries}, {"Layers": [{"Name": name, **layer} for name, layer in layers.items()]})


class TestTheEmulation:
    """It stands for a client that cannot run here: it is held to that client's worked examples."""

    @pytest.mark.parametrize(
        ("made", "values", "key"),
        [
            (
                rule({"Name": "ft", "Precision": 3}, {"Name": "s", "Wildcard": True}),
                {"ft": 1.23456, "s": "a"},
                b"1.235/a",
            ),
            (rule({"Name": "ft", "Precision": 3}, {"Name": "s"}, s=EMPTY), {"ft": 5.6789, "s": "b"}, b"5.679/[UNK]"),
            (rule({"Name": "sa"}, {"Name": "aux"}, sa=LETTERS), {"aux": "c1", "sa": "b"}, b"b/"),
            (rule({"Name": "fl", "Precision": 4}), {"fl": 1.00054}, b"1.0005"),
            (rule({"Name": "fl", "Precision": 4}), {"fl": -1.00054}, b"-1.0005"),
            (rule({"Name": "fl", "Precision": 4}), {"fl": 0.00001}, b"0.0000"),
            (rule({"Name": "fl", "Precision": 4}), {"fl": 123456.789}, b"123456.7891"),
            (rule({"Name": "x"}, {"Name": "y"}), {"x": 1.0, "y": 2.0}, b"/"),
            (rule({"Name": "x", "Wildcard": True}), {"x": 1.23}, b"1.2300000191"),
            (rule({"Name": "s", "Precision": 2}, s=LETTERS), {"s": "a"}, b"[UNK]"),
            (rule({"Name": "i"}, i={"Strings": None, "Ints": [5]}), {"i": 5}, b"5"),
            (rule({"Name": "i"}, i={"Strings": None, "Ints": [5]}), {"i": 6}, b"0"),
            (rule({"Name": "i"}), {"i": 6}, b""),
        ],
    )
    def test_keys(self, made: KeyRule, values: dict[str, Value], key: bytes) -> None:
        assert made.key(values) == key

    def test_one_list_entry_stands_for_all_rows(self) -> None:
        made = rule({"Name": "copied"}, {"Name": "multi"}, copied=EMPTY, multi=LETTERS)
        assert made.keys(2, {"copied": ["1"], "multi": ["a", "b"]}) == [b"[UNK]/a", b"[UNK]/b"]

    @pytest.mark.parametrize(
        ("value", "sent"), [(1.00054, b"1.0005"), (1.20001, b"1.2"), (0.00001, b"0"), (123456.789, b"123456.79")]
    )
    def test_the_rounded_value_is_what_is_sent(self, value: float, sent: bytes) -> None:
        made = rule({"Name": "fl", "Precision": 4})
        assert mly_message.float_text(float(made.sent("fl", value))) == sent

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (1.0, b"1"), (1.23, b"1.23"), (1e-7, b"0.0000001"), (-0.0, b"-0"), (16777216.0, b"16777216"),
            (float("nan"), b"NaN"), (float("inf"), b"+Inf"), (float("-inf"), b"-Inf"),
        ],
    )  # fmt: skip
    def test_floats(self, value: float, text: bytes) -> None:
        assert mly_message.float_text(value) == text

    def test_bodies(self) -> None:
        """One row, a batch, the part of it that is missing, and a row without a key."""
        row: dict[str, Value] = {"country": "us", "site": "a.com", "age": 30, "price": 1.23}
        assert mly_message.one_row(row, b"1.23/30/us/a.com") == (
            b'{"country":"us","site":"a.com","age":30,"price":1.23,"cache_key":"1.23/30/us/a.com"}\n'
        )
        columns: dict[str, list[Value]] = {
            "country": ["us", "fr"],
            "site": ["a.com"],
            "age": [30, 41],
            "price": [1.23, 4.5],
        }
        keys = [b"1.23/30/us/a.com", b"4.50/0/[UNK]/a.com"]
        assert mly_message.batch(2, columns, keys, [0, 1]) == (
            b'{"batch_size":2,"country":["us","fr"],"site":["a.com"],"age":[30,41],"price":[1.23,4.5],'
            b'"cache_key":["1.23/30/us/a.com","4.50/0/[UNK]/a.com"]}\n'
        )
        assert mly_message.batch(2, columns, keys, [1]) == (
            b'{"batch_size":1,"country":["fr"],"site":["a.com"],"age":[41],"price":[4.5],'
            b'"cache_key":["4.50/0/[UNK]/a.com"]}\n'
        )
        assert mly_message.one_row({"a": b'\t"\xff'}, b"") == b'{"a":"\t"\xff"}\n'


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"price": 1.23, "age": 30, "country": "us", "site": "a.com"}, b"1.23/30/us/a.com"),
        ({"site": "a.com", "country": "fr", "age": 41, "price": 4.5}, b"4.50/0/[UNK]/a.com"),
        ({"price": 4.5, "age": 41, "country": "", "site": "x"}, b"4.50/0//[UNK]"),
    ],
)
def test_the_worked_example(values: dict[str, Value], key: bytes) -> None:
    """From documents of ours, whatever the order of the caller's calls."""
    config, face = ctr()
    assert rule_of(face, config.models[0]).key(values) == key


@pytest.mark.parametrize(
    ("settings", "values", "key"),
    [
        ({"KeyFields": ["sa", "sl", "aux", "kf"]}, {"sa": "a", "sl": "a", "aux": "test", "kf": "k"}, b"a/a/test/k"),
        (
            {"Inputs": [{"Name": "sa"}, {"Name": "sl"}, {"Name": "aux", "Auxiliary": True}]},
            {"sa": "b", "sl": "a", "aux": "c1"},
            b"b/a/",
        ),
        ({"UseDict": False}, {"sa": "b", "sl": "a"}, b"/"),
    ],
)
def test_auxiliary_inputs_and_models_without_a_dictionary(
    settings: dict[str, Any], values: dict[str, Value], key: bytes
) -> None:
    """Keys that Go clients have always sent."""
    config, face = configured(
        {"ID": "m", "URL": "m", **settings}, dict_hash=None if settings.get("UseDict") is False else 7
    )
    assert rule_of(face, config.models[0]).key(values) == key


TEXTS = st.sampled_from(["", "a", "b", "[UNK]", "a/b", "/", "0", "é", "\t"]) | st.text(max_size=3)
WHOLE = st.sampled_from([0, 1, -1, 5, 2**31 - 1]) | st.integers(-(2**31), 2**31 - 1)
FLOATS = st.sampled_from([0.0, 1.005, 2.5, -0.125, 1e-12, 12345.678]) | st.floats(-1e6, 1e6, width=32)

FIELDS = {
    "folded": InputField("folded", DType.STRING, (), lookups=Lookups("t", words("", "a", "b"))),
    "exact": InputField("exact", DType.STRING, (), lookups=Lookups("exact")),
    "number": InputField("number", DType.INT64, (), lookups=Lookups("t", numbers(-1, 5))),
    "id": InputField("id", DType.INT32, ()),
    "rounded": InputField("rounded", DType.FLOAT32, (), precision=2),
    "wide": InputField("wide", DType.FLOAT64, (), precision=3),
    "price": InputField("price", DType.FLOAT32, ()),
    "double": InputField("double", DType.FLOAT64, ()),
    "aux": InputField("aux", DType.STRING, (), auxiliary=True),
    "key_field": InputField("key_field", DType.STRING, (), auxiliary=True, wildcard=True),
    "untold": InputField("untold", DType.STRING, (), lookups=Lookups("t", words("a", "\udcff"))),
}


def value_of(field: InputField) -> st.SearchStrategy[Any]:
    return TEXTS if field.dtype is DType.STRING else WHOLE if field.dtype.is_integer else FLOATS


@st.composite
def cases(draw: st.DrawFn) -> tuple[Interface, list[dict[str, Value]]]:
    """An interface, and two rows of it that are often alike."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=4, unique=True))
    face = interface(*(FIELDS[name] for name in names))
    first = {name: draw(value_of(FIELDS[name])) for name in names}
    second = {name: draw(st.just(first[name]) | value_of(FIELDS[name])) for name in names}
    return face, [first, second]


def decoded(face: Interface, made: KeyRule, values: dict[str, Value]) -> Call:
    """What the server reads of the client's body, strings that JSON cannot hold being escaped as a caller's own."""
    sent = {name: _json_safe(made.sent(name, value)) for name, value in values.items()}
    asked = request(body=mly_message.one_row(sent, b""), method="POST")
    return EvalProtocol().decode(asked, face, max_rows=1)


def _json_safe(value: Value) -> Value:
    return orjson.dumps(value)[1:-1] if isinstance(value, str) else value


def seen(face: Interface, rows: Rows) -> list[Any]:
    """What tells answers apart: what the model sees, and what of the rest is in the key."""
    canonical = canonical_rows(rows, face)
    told = [field.name for field in face.inputs if field.wildcard or not field.auxiliary]
    return [np.asarray(canonical.columns[name]).tolist() for name in told]


@given(cases())
def test_client_and_server_make_the_same_key_of_a_row(case: tuple[Interface, list[dict[str, Value]]]) -> None:
    """Wherever the server keeps the row; and a client never finds there what another row was answered."""
    face, rows = case
    made = rule_of(face)
    calls = [decoded(face, made, row) for row in rows]
    theirs = [made.key(row).decode() for row in rows]
    ours = [mly_keys(face, canonical_rows(call.rows, face))[0] for call in calls]
    for row, their, our in zip(rows, theirs, ours, strict=True):
        foldable = row.get("untold", "a") == "a"  # a client that is not told the words looks where nothing lies
        assert our is None or their == our or not foldable
    if ours[0] is not None and ours[0] == theirs[1] and ours[1] is not None:
        assert seen(face, calls[0].rows) == seen(face, calls[1].rows)
