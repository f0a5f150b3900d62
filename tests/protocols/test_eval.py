"""Would fail if mly's clients, or curl, got another answer from the eval protocol than the contract promises."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.contracts.protocol import Call, Encoded, WireRequest
from mlserve.errors import BadRequest, RequestError, TooLarge
from mlserve.protocols.eval import EvalProtocol
from mlserve.registry import resolve
from mlserve.transport.message import HttpRequest
from mlserve.types import DType, InputField, Interface, Rows, Serving, TensorSpec
from tests.support.malformed_bodies import GOOD, INTERFACE, MALFORMED, MAX_ROWS, Malformed

PROTOCOL = EvalProtocol()
CTR = Interface(
    (
        InputField("price", DType.FLOAT32, (), precision=2),
        InputField("age", DType.INT64, ()),
        InputField("country", DType.STRING, ()),
        InputField("site", DType.STRING, ()),
    ),
    (TensorSpec("score", DType.FLOAT32, (None, 1)),),
    Serving.ROWS,
    dict_hash=-7408354822416734953,
)


def asked(method: str, query: str, body: bytes) -> WireRequest:
    return HttpRequest(method, "/v1/api/model/m/eval", query, MappingProxyType({}), body, "127.0.0.1", 0.0)


def post(body: bytes | str, interface: Interface = CTR, max_rows: int = 100) -> Call:
    raw = body.encode() if isinstance(body, str) else body
    return PROTOCOL.decode(asked("POST", "", raw), interface, max_rows=max_rows)


def get(query: str, interface: Interface = CTR, method: str = "GET") -> Call:
    return PROTOCOL.decode(asked(method, query, b""), interface, max_rows=100)


def lists(rows: Rows) -> dict[str, Any]:
    return {name: column.tolist() for name, column in rows.columns.items()}


def test_the_registry_names_it() -> None:
    assert resolve("protocols", "eval") is EvalProtocol
    assert PROTOCOL.name == "eval"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/api/model/sli/eval", "sli"),
        ("/v1/api/model/a.b-c_d/eval", "a.b-c_d"),
        ("/v1/api/model/eval/eval", "eval"),
        ("/v1/api/model//eval", None),
        ("/v1/api/model/eval", None),
        ("/v1/api/model/a/b/eval", None),
        ("/v1/api/model/sli/eval/", None),
        ("/v1/api/model/sli/explain", None),
        ("/v1/api/model/sli", None),
        ("/", None),
        ("", None),
    ],
)
def test_paths(path: str, model: str | None) -> None:
    assert PROTOCOL.match(path) == model


PRICE = float(np.float32(1.23))
ROW = {"price": [PRICE], "age": [30], "country": ["us"], "site": ["a.com"]}
BOTH = {"price": [PRICE, 4.5], "age": [30, 41], "country": ["us", "fr"], "site": ["a.com", "a.com"]}


def test_one_row_as_the_go_client_posts_it() -> None:
    call = post('{"country":"us","site":"a.com","age":30,"price":1.23,"cache_key":"1.23/30/us/a.com"}\n')
    assert (lists(call.rows), call.batch, call.cache_key) == (ROW, False, ("1.23/30/us/a.com",))
    assert list(call.rows.columns) == ["price", "age", "country", "site"]


def test_a_batch_as_the_go_client_posts_it() -> None:
    call = post(
        '{"batch_size":2,"country":["us","fr"],"site":["a.com"],"age":[30,41],"price":[1.23,4.5],'
        '"cache_key":["1.23/30/us/a.com","4.50/0/[UNK]/a.com"]}\n'
    )
    assert (lists(call.rows), call.batch) == (BOTH, True)
    assert call.cache_key == ("1.23/30/us/a.com", "4.50/0/[UNK]/a.com")


def test_a_partial_miss_is_a_batch_of_one() -> None:
    call = post(
        '{"batch_size":1,"country":["fr"],"site":["a.com"],"age":[41],"price":[4.5],"cache_key":["4.50/0/[UNK]/a.com"]}'
    )
    assert (call.rows.count, call.batch, call.cache_key) == (1, True, ("4.50/0/[UNK]/a.com",))


def test_members_come_in_any_order() -> None:
    call = post('{"price":[1.23,4.5],"age":[30,41],"site":["a.com"],"country":["us","fr"],"batch_size":2}')
    assert lists(call.rows) == BOTH


@pytest.mark.parametrize(
    ("members", "rows"),
    [
        (r'"country":"us","site":"a.com","age":30,"price":1.23,"price":1.23', ROW),
        (r'"country":"x","country":"us","site":"a.com","age":30,"price":1.23', ROW),
        (r'"country":"us","site":"a.com","age":-0,"price":1', {"price": [1], "age": [0]}),
        (r'"country":"us","site":"a.com","age":30,"price":1.5e0', {"price": [1.5]}),
        (r'"country":"us","site":"a.com","age":25.0,"price":-0', {"age": [25]}),
        ('"country":"u\ts","site":"a\n.com","age":30,"price":1', {"country": ["u\ts"], "site": ["a\n.com"]}),
        ('"country":"u\ts","site":"a","age":30,"price":18446744073709551616', {"price": [2.0**64]}),
    ],
)
def test_leniency_of_the_table(members: str, rows: dict[str, Any]) -> None:
    found = lists(post("{" + members + "}").rows)
    assert {name: found[name] for name in rows} == rows


def test_bytes_that_are_not_text_reach_string_inputs() -> None:
    call = post(b'{"country":"\xff\xfe","site":{"b64":"/w=="},"age":30,"price":1}')
    assert lists(call.rows)["country"] == ["\udcff\udcfe"]
    assert lists(call.rows)["site"] == ["\udcff"]


ONE = '"country":"us","site":"a.com","age":30,"price":1.23'


@pytest.mark.parametrize(
    ("member", "key"),
    [
        ('"k"', ("k",)),
        ('""', ("",)),
        ('["k"]', ("k",)),
        ("[]", None),
        ('["a","b"]', None),
        ("[1]", None),
        ("1", None),
        ("null", None),
        ("{}", None),
        ('[["k"]]', None),
        ("true", None),
    ],
)
def test_a_cache_key_of_any_shape_is_no_error(member: str, key: tuple[str, ...] | None) -> None:
    assert post("{" + ONE + f',"cache_key":{member}' + "}").cache_key == key
    assert post("{" + f'"cache_key":{member},' + ONE + "}").cache_key == key


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_malformed_bodies_are_refused_at_once(case: Malformed) -> None:
    started = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        post(case.body, INTERFACE, MAX_ROWS)
    assert time.perf_counter() - started < 1
    assert caught.value.code == case.code
    assert case.fragment in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_the_table_of_malformed_bodies_is_about_what_differs_from_a_good_one() -> None:
    assert post(GOOD, INTERFACE, MAX_ROWS).rows.count == 1
    assert len({case.name for case in MALFORMED}) == len(MALFORMED) >= 60


def test_an_input_with_a_reserved_name_cannot_be_sent() -> None:
    face = Interface((InputField("batch_size", DType.INT64, ()),), None, Serving.ROWS)
    for ask in (lambda: post('{"batch_size":2}', face), lambda: get("batch_size=2", face)):
        with pytest.raises(BadRequest, match=r"missing fields: \[batch_size\]; eval reserves the name batch_size"):
            ask()


def test_get_and_head_are_one_row_without_a_key() -> None:
    for method in ("GET", "HEAD"):
        call = get("country=us&site=a.com&age=30&price=1.23&cache_key=x&batch_size=2", method=method)
        assert (lists(call.rows), call.batch, call.cache_key) == (ROW, False, None)


SAME = Interface(
    (
        InputField("s", DType.STRING, ()),
        InputField("i", DType.INT64, ()),
        InputField("f", DType.FLOAT32, ()),
        InputField("b", DType.BOOL, ()),
        InputField("v", DType.FLOAT64, (None,)),
    ),
    None,
    Serving.ROWS,
)


@given(
    st.fixed_dictionaries(
        {
            "s": st.text(st.characters(exclude_categories=("Cs",))),
            "i": st.integers(-(2**63), 2**63 - 1),
            "f": st.floats(width=32, allow_nan=False, allow_infinity=False),
            "b": st.booleans(),
            "v": st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
        }
    )
)
def test_get_and_post_of_one_row_are_the_same_rows(values: dict[str, Any]) -> None:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    asked, posted = get(urlencode(texts), SAME).rows, post(orjson.dumps(values), SAME).rows
    for name, column in posted.columns.items():
        assert asked.columns[name].dtype == column.dtype
        np.testing.assert_array_equal(asked.columns[name], column)


@given(st.binary() | st.text(alphabet='{}[]",:sifbv0123456789.e-\\').map(str.encode) | st.text().map(str.encode))
def test_any_body_is_a_call_or_a_refusal(body: bytes) -> None:
    for text in (body, b'{"s":"' + body + b'"}', b'{"s":"a","i":1,"f":' + body + b',"b":true,"v":[1]}'):
        try:
            call = post(text, SAME)
        except (BadRequest, TooLarge) as error:
            refusal = str(error)
        else:
            refusal = ""
            assert 1 <= call.rows.count <= 100
        assert refusal.isprintable()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={field.name: JSON_VALUES for field in INTERFACE.inputs}), JSON_VALUES)
def test_any_values_are_a_call_or_a_refusal(values: dict[str, Any], batch_size: Any) -> None:
    for body in (values, {**values, "batch_size": batch_size}):
        try:
            call = post(json.dumps({"sa": "a", "age": 1, "price": 1, **body}), INTERFACE, MAX_ROWS)
        except (BadRequest, TooLarge) as error:
            refusal = str(error)
        else:
            refusal = ""
            assert all(len(column) == call.rows.count for column in call.rows.columns.values())
        assert refusal.isprintable()


def encoded(answer: Rows, *, batch: bool, interface: Interface = CTR) -> str:
    call = Call(Rows({}, answer.count), batch)
    return PROTOCOL.encode(answer, call, interface).body(842).decode()


def test_one_row_is_answered_in_mlys_form() -> None:
    assert encoded(Rows({"score": np.array([[0.0731]], np.float32)}, 1), batch=False) == (
        '{"status":"ok","dictHash":-7408354822416734953,"serviceTimeMcs":842,"data":{"score":0.0731}}'
    )


def test_a_batch_is_answered_in_mlys_form() -> None:
    assert encoded(Rows({"score": np.array([[0.0731], [0.5]], np.float32)}, 2), batch=True) == (
        '{"status":"ok","dictHash":-7408354822416734953,"serviceTimeMcs":842,"data":[{"score":0.0731},{"score":0.5}]}'
    )


def test_a_model_without_dictionary_has_no_hash() -> None:
    bare = Interface((), None, Serving.ROWS)
    assert encoded(Rows({"y": np.array([1])}, 1), batch=False, interface=bare) == (
        '{"status":"ok","serviceTimeMcs":842,"data":{"y":1}}'
    )


def test_equal_answers_differ_in_their_time_alone() -> None:
    """Whoever keeps an encoded answer would else repeat another request's."""
    encoded = PROTOCOL.encode(Rows({"score": np.array([[0.5]], np.float32)}, 1), Call(Rows({}, 1), False), CTR)
    assert [orjson.loads(encoded.body(time_us))["serviceTimeMcs"] for time_us in (0, 12_345_678)] == [0, 12_345_678]
    assert encoded.body(7) == encoded.head + b"7" + encoded.tail


def test_a_body_that_tells_no_time_is_whole_as_it_is() -> None:
    assert Encoded(b"{}", timed=False).body(7) == b"{}"


def test_numbers_that_json_cannot_say_are_counted() -> None:
    answer = Rows({"a": np.array([np.nan, 1, np.inf]), "b": np.array([1, 2, 3])}, 3)
    bare = Interface((), None, Serving.ROWS)
    assert PROTOCOL.encode(answer, Call(Rows({}, 3), True), bare).non_finite == 2


def test_the_requests_of_expected_json_are_taken() -> None:
    """Every request there, and its answer's numbers, as the real models will meet them."""
    cases = json.loads(EXPECTED.read_text())
    text, number = DType.STRING, DType.FLOAT32
    faces = {"sli": (("sa", text), ("sl", text)), "fli": (("fl", number), ("sl", text))}
    faces["slf"] = faces["sli"]
    for case in cases:
        fields = tuple(InputField(name, dtype, ()) for name, dtype in faces[case["model"]])
        face = Interface(fields, None, Serving.ROWS)
        call = post(json.dumps(case["request"]), face)
        wanted = case["data"] if isinstance(case["data"], list) else [case["data"]]
        assert (call.rows.count, call.batch) == (len(wanted), isinstance(case["data"], list))
        kind = np.int64 if case["model"] == "sli" else np.float32
        answer = Rows({"expand": np.array([[row["expand"]] for row in wanted], kind)}, len(wanted))
        assert json.loads(encoded(answer, batch=call.batch, interface=face))["data"] == case["data"]


EXPECTED = Path(__file__).parents[1] / "data" / "mly" / "expected.json"
