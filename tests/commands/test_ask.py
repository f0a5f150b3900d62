"""Rows sent together are answered as if each had been sent alone, and a value typed as 123 reaches a text input."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.commands.ask import Asker
from mlserve.commands.given import read_given
from mlserve.errors import BadAnswer, RemoteError
from tests.support.model_transport import ModelTransport, Refusal, client_of, doubling


def asker(transport: ModelTransport, *words: str) -> Asker:
    return Asker(client_of(transport), "m", read_given(words))


def tagging(row: dict[str, Any]) -> Any:
    """Takes text alone, in ``zip`` and ``tag``."""
    for name in ("zip", "tag"):
        if name in row and not isinstance(row[name], str):
            raise Refusal(400, "bad_request", f"field {name!r}: expected a string, got {row[name]}")
    return row


async def test_one_row_is_sent_as_it_was_typed() -> None:
    transport = ModelTransport(doubling)
    assert (await asker(transport, "x=2").one({})).data == {"y": 4}
    assert transport.asked == [{"x": 2}]


async def test_what_is_refused_as_json_is_sent_as_text() -> None:
    transport = ModelTransport(tagging)
    ask = asker(transport, "zip=123", "tag=true")
    assert (await ask.one({})).data == {"zip": "123", "tag": "true"}
    assert len(transport.asked) == 3
    await ask.one({})
    assert len(transport.asked) == 4, "what was learnt is forgotten"


async def test_if_text_will_not_do_either_the_first_refusal_is_told() -> None:
    """It is about what was typed."""
    with pytest.raises(RemoteError, match="got True"):
        await asker(ModelTransport(doubling), "x=true").one({})


async def test_text_and_files_are_not_guessed_about() -> None:
    transport = ModelTransport(doubling)
    with pytest.raises(RemoteError, match="got 'much'"):
        await asker(transport, "x=much").one({})
    assert len(transport.asked) == 1


async def test_values_of_the_command_line_stand_for_every_row() -> None:
    """A list among them is one row's value, never one value for each of two rows."""
    transport = ModelTransport(tagging)
    rows = await asker(transport, "v=[1,2]").rows([{"a": 1}, {"a": 2}])
    assert rows == [{"v": [1, 2], "a": 1}, {"v": [1, 2], "a": 2}]
    assert transport.asked == [{"batch_size": 2, "v": [[1, 2], [1, 2]], "a": [1, 2]}]


async def test_they_are_taken_for_text_in_a_batch_too() -> None:
    rows = await asker(ModelTransport(tagging), "zip=7").rows([{"tag": "a"}, {"tag": "b"}])
    assert rows == [{"zip": "7", "tag": "a"}, {"zip": "7", "tag": "b"}]


async def test_an_input_that_a_row_lacks_is_null() -> None:
    rows = await asker(ModelTransport(dict)).rows([{"a": 1}, {"b": 2}, {}])
    assert rows == [{"a": 1, "b": None}, {"a": None, "b": 2}, {"a": None, "b": None}]


@given(st.lists(st.sampled_from([1, 2, -1, "x"]), min_size=1, max_size=40))
def test_each_row_is_answered_for_itself(xs: list[Any]) -> None:
    """A bad row must cost its neighbours nothing, and a good one must never get another's answer."""
    transport = ModelTransport(doubling)
    rows = asyncio.run(asker(transport).rows([{"x": x} for x in xs]))
    shown = [row.code if isinstance(row, RemoteError) else row for row in rows]
    codes = {"x": "bad_request", -1: "inference_failed"}
    assert shown == [codes.get(x, {"y": 2 * x} if x in (1, 2) else None) for x in xs]
    bad = sum(x in codes for x in xs)
    assert len(transport.asked) <= 1 + bad * 2 * len(xs).bit_length()


async def test_too_large_a_request_is_sent_in_halves() -> None:
    def small(row: dict[str, Any]) -> Any:
        if transport.sizes[-1] is not None and transport.sizes[-1] > 2:
            raise Refusal(413, "too_large", "at most 2 rows")
        return row["x"]

    transport = ModelTransport(small)
    assert await asker(transport).rows([{"x": x} for x in range(8)]) == list(range(8))
    assert transport.sizes == [8, 4, 2, 2, 4, 2, 2]


async def test_rows_out_of_time_are_not_asked_one_by_one() -> None:
    """A hundred times the wait would be the answer to a slow model."""

    def slow(row: dict[str, Any]) -> Any:
        raise Refusal(504, "deadline_exceeded", "too late")

    transport = ModelTransport(slow)
    answers = await asker(transport).rows([{}, {}, {}])
    assert [str(answer) for answer in answers] == ["too late"] * 3
    assert len(transport.asked) == 1


@pytest.mark.parametrize("code", ["unknown_model", "forbidden", "internal", ""])
async def test_what_is_no_rows_fault_is_raised(code: str) -> None:
    def no(row: dict[str, Any]) -> Any:
        raise Refusal(404, code, "no")

    transport = ModelTransport(no)
    with pytest.raises(RemoteError):
        await asker(transport).rows([{}, {}])
    assert len(transport.asked) == 1


@pytest.mark.parametrize(
    ("data", "problem"), [([1], "asked for 2 rows and answered 1"), ([1, 2, 3], "answered 3"), ({}, "is no list")]
)
async def test_a_wrong_count_of_answers_is_told(data: Any, problem: str) -> None:
    """Else every row after it would get its neighbour's answer."""
    transport = ModelTransport(dict)
    transport._data = lambda values: data  # type: ignore[method-assign]  # a broken server
    with pytest.raises(BadAnswer, match=problem):
        await asker(transport).rows([{"x": 1}, {"x": 2}])


async def test_a_row_nested_too_deep_fails_alone() -> None:
    """What reads JSON goes deeper than what writes it: a traceback would be the answer to a strange line."""
    deep = orjson.loads(b"[" * 400 + b"]" * 400)
    good, bad = await asker(ModelTransport(doubling)).rows([{"x": 1}, {"x": deep}])
    assert (good, str(bad)) == ({"y": 2}, "nested too deep to be sent")


async def test_a_row_alone_may_be_anything_that_a_request_may_be() -> None:
    assert await asker(ModelTransport(dict)).rows([{"x": [1, 2]}]) == [{"x": [1, 2]}]
