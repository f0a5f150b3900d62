"""Would fail if a list of vectors, read at once, became other rows than the careful way makes of it, or never was."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any
from unittest import mock

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlserve.errors import RequestError
from mlserve.protocols import eval as protocol
from mlserve.protocols import one_matrix
from mlserve.protocols.one_matrix import matrix_rows
from mlserve.types import DType, InputField, Interface, Serving, Shape
from tests.support.eval_requests import request

MOST_ROWS = 4


def interface(
    dtype: DType = DType.FLOAT32, shape: Shape = (2,), name: str = "x", serving: Serving = Serving.ROWS, **default: Any
) -> Interface:
    return Interface((InputField(name, dtype, shape, **default),), None, serving)


def outcome(body: bytes, face: Interface, *, short: bool) -> object:
    """Columns as bytes, or the error. Bodies of all lengths are tried."""
    way = matrix_rows if short else lambda body, interface, max_rows: None
    with mock.patch.object(one_matrix, "_LONG", 0), mock.patch.object(protocol, "matrix_rows", way):
        try:
            call = protocol.EvalProtocol().decode(request(method="POST", body=body), face, max_rows=MOST_ROWS)
        except RequestError as error:
            return type(error), str(error), getattr(error, "field", None)
    columns = [
        (name, column.dtype, column.shape, column.tolist() if column.dtype == object else column.tobytes())
        for name, column in call.rows.columns.items()
    ]
    return columns, call.rows.count, call.batch, call.cache_key


def taken(body: bytes, face: Interface) -> bool:
    with mock.patch.object(one_matrix, "_LONG", 0):
        return matrix_rows(body, face, MOST_ROWS) is not None


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":[[1,2.5],[3,4]]}',
        b'{"batch_size":2,"x":[[1,2],[3,4]]}',
        b' {"x" : [[1, 2], [3e0, -4]] , "batch_size" : 2 } ',
        b'{"x":[[-0,1]]}',
    ],
)
def test_plain_matrices_go_the_short_way(body: bytes) -> None:
    """Else this would be a roundabout, and the other tests here would compare the careful way with itself."""
    for face in (interface(), interface(shape=(None,)), interface(serving=Serving.ONE), interface(DType.BFLOAT16)):
        assert taken(body, face)
        assert outcome(body, face, short=True) == outcome(body, face, short=False)


def test_only_long_bodies_do() -> None:
    body = orjson.dumps({"x": [[1.5, 2.5]] * 3})
    assert matrix_rows(body, interface(), 3) is None
    assert matrix_rows(body + b" " * 512, interface(), 3) is not None


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":[[1,2],[3]]}',
        b'{"x":[[1],[2,3]]}',
        b'{"x":[[1,2],[3],[4,5,6]]}',
        b'{"x":[[1,2],[3,4],[5,6],[7,8],[9,10]]}',
        b'{"x":[[1,2],[3,true]]}',
        b'{"x":[[1,2],[3,null]]}',
        b'{"x":[[1,2],["3",4]]}',
        b'{"x":[[1,2],["],[",4]]}',
        b'{"x":[[1,2]3,[4]]}',
        b'{"x":[[1,2]],"x":[]}',
        b'{"x":[[1,2]],"x":[[3,4]]}',
        b'{"x":[[[1,2],[3,4]]]}',
        b'{"x":[[]]}',
        b'{"x":[[],[]]}',
        b'{"x":[[1,2],[3,4]],"batch_size":1}',
        b'{"x":[[1,2]],"batch_size":3}',
        b'{"x":[[1,2],[3,4]],"batch_size":2.0}',
        b'{"x":[[1,2],[3,4]],"batch_size":true}',
        b'{"x":[[1,2]],"batch_size":true}',
        b'{"x":[[1,2]],"batch_size":null}',
        b'{"x":[[1,2]],"cache_key":"1/2"}',
        b'{"x":[[1,2]],"y":0}',
        b'{"y":[[1,2]]}',
        b'{"y[[1,2]]":0,"x":[1,2]}',
        b"[[1,2],[3,4]]",
        b'{"x":[[1,2],[3,4]]',
        b'{"x":[[1e39,2],[3,4]]}',
        b'{"x":[[1,2], [3,4],[5,6]]}',
    ],
)
def test_anything_else_goes_the_careful_way(body: bytes) -> None:
    for face in (interface(), interface(shape=(None,))):
        assert not taken(body, face)
        assert outcome(body, face, short=True) == outcome(body, face, short=False)


@pytest.mark.parametrize("name", ["[]", "x[]", "[[1,2]]", "batch_size", "cache_key", 'q"', "é"])
def test_odd_names_are_no_way_in(name: str) -> None:
    """A name may look like the matrix, or like what stands for it while the rest is read."""
    face = interface(name=name)
    bodies: tuple[dict[str, Any], ...] = (
        {name: [[1, 2], [3, 4]]},
        {name: []},
        {"[[1,2]]": []},
        {"x[[1,2]]": [[]]},
        {name: 5},
    )
    for body in bodies:
        text = orjson.dumps(body)
        assert outcome(text, face, short=True) == outcome(text, face, short=False)


@pytest.mark.parametrize(
    "face",
    [
        interface(serving=Serving.WHOLE, shape=(2, 2)),
        interface(serving=Serving.WHOLE, shape=(2,)),
        interface(DType.STRING),
        interface(DType.COMPLEX64),
        interface(shape=()),
        interface(shape=(2, 2)),
        Interface((*interface().inputs, *interface(name="y").inputs), None, Serving.ROWS),
    ],
)
def test_other_interfaces_go_the_careful_way(face: Interface) -> None:
    for body in (b'{"x":[[1,2],[3,4]]}', b'{"x":[[1,2],[3,4]],"y":[[1,2],[3,4]]}'):
        assert not taken(body, face)
        assert outcome(body, face, short=True) == outcome(body, face, short=False)


NUMBERS = st.sampled_from([0, 1, -0.0, 25.0, 300, 2**53 + 1, 2**63, 2**70, 1e39, 65520]) | st.floats(
    allow_nan=False, allow_infinity=False
)
NOISE = st.sampled_from([*'[],{}":-0.e', "-0", "],[", "]],[[", "true", "null", '"x":', " ", "\t", "\x01", "[]", "1"])


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=5),
    st.sampled_from([None, 1, 2, 3, "first"]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), NOISE), max_size=2),
    st.sampled_from([DType.FLOAT32, DType.FLOAT64, DType.FLOAT16, DType.INT64, DType.UINT8]),
    st.sampled_from([(2,), (None,)]),
    st.sampled_from([{}, {"default": 1}]),
)
@example([[1.5, 2.5]], None, False, [], DType.FLOAT32, (2,), {})
def test_both_ways_say_the_same(
    rows: list[list[float]],
    batch_size: Any,
    spaced: bool,
    noise: list[tuple[int, int, str]],
    dtype: DType,
    shape: Shape,
    default: dict[str, Any],
) -> None:
    """Of whole bodies, and of bodies in which something was put in or cut out."""
    sized = {} if batch_size is None else {"batch_size": len(rows) if batch_size == "first" else batch_size}
    values = {**sized, "x": rows}
    text = json.dumps(values) if spaced else json.dumps(values, separators=(",", ":"))
    for at, cut, put in noise:
        text = text[:at] + put + text[at + cut :]
    face = interface(dtype, shape, **default)
    assert outcome(text.encode(), face, short=True) == outcome(text.encode(), face, short=False)


def test_a_text_cannot_claim_more_memory_than_it_has_bytes() -> None:
    """A long first row, and then as many ends of rows, would be a table of 40 GB if they were believed."""
    body = b'{"x":[[' + b"1," * 200_000 + b"1" + b"],[" * 200_000 + b"1]]}"
    tracemalloc.start()
    try:
        assert matrix_rows(body, interface(shape=(None,)), 10**9) is None
        assert tracemalloc.get_traced_memory()[1] < 10 * len(body)
    finally:
        tracemalloc.stop()


def test_the_rows_are_their_own() -> None:
    """Models that write into their inputs would else fail, or change what later callers get."""
    rows = matrix_rows(b'{"x":[[1.5,2.5],[3.5,4.5]]}' + b" " * 512, interface(), 2)
    assert rows is not None
    assert rows.columns["x"].tolist() == [[1.5, 2.5], [3.5, 4.5]]
    assert rows.columns["x"].flags.writeable
    assert rows.columns["x"].dtype == np.float32
