"""One call of the client: tries again when that helps, and always ends, whoever leaves, fails or closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from mlserve.client.answer import Answer
from mlserve.client.plain import PlainClient
from mlserve.client.transport import HttpAnswer
from mlserve.errors import BadAnswer, ClientError, Interrupted, RemoteError, TimedOut, Unreachable
from tests.support.virtual_time import clock, run

URL = "http://user:secret@there:1/ml"


def ok(data: object = 1) -> HttpAnswer:
    return HttpAnswer(200, "OK", CIMultiDict(), orjson.dumps({"status": "ok", "data": data}))


def no(status: int, code: str, **headers: str) -> HttpAnswer:
    body = orjson.dumps({"status": "error", "error": "no", "code": code})
    return HttpAnswer(status, "No", CIMultiDict(headers), body)


class Script:
    """Implements ``Transport``: one step per request, the last for ever. ``times`` are those of the requests."""

    def __init__(self, *steps: HttpAnswer | ClientError | Callable[[], Awaitable[HttpAnswer]]) -> None:
        self._steps = list(steps)
        self.times: list[float] = []
        self.asked: list[tuple[str, Any, Mapping[str, str]]] = []
        self.closed = 0

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        self.times.append(clock())
        self.asked.append((path, orjson.loads(body), headers))
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, ClientError):
            raise step
        return step if isinstance(step, HttpAnswer) else await step()

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        """Probes, which this script answers no other way."""
        return ok()

    async def close(self) -> None:
        self.closed += 1


async def forever() -> HttpAnswer:
    await asyncio.Event().wait()
    raise AssertionError


def ask(script: Script, *, timeout_s: float = 30.0, model: str = "m") -> Answer:
    """One call, on a loop whose clock moves by itself, with a chance of 0."""

    async def call() -> Answer:
        async with PlainClient(URL, timeout_s=timeout_s, transport=script, chance=lambda: 0.0) as client:
            return await client.eval(model, {"x": 1})

    answer = run(call())
    assert script.closed == 1
    return answer


def test_values_go_to_the_model_and_its_data_comes_back() -> None:
    script = Script(ok({"y": 2}))
    assert ask(script).data == {"y": 2}
    assert script.asked == [("/v1/api/model/m/eval", {"x": 1}, {"X-Request-Timeout-Ms": "30000"})]


def test_a_model_is_one_segment_of_the_path() -> None:
    """``../../metrics`` must not ask for something else."""
    script = Script(ok())
    ask(script, model="../a b?c#d%\N{GREEK SMALL LETTER ALPHA}")
    assert script.asked[0][0] == "/v1/api/model/..%2Fa%20b%3Fc%23d%25%CE%B1/eval"


def test_overload_is_waited_out_as_the_server_asks() -> None:
    script = Script(no(429, "overloaded", **{"Retry-After": "3"}), no(503, "not_ready", **{"Retry-After": "5"}), ok())
    assert ask(script).data == 1
    assert script.times == [1000.0, 1003.0, 1008.0]
    assert [headers["X-Request-Timeout-Ms"] for _, _, headers in script.asked] == ["30000", "27000", "22000"]


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """The answer is known now: no use in making somebody wait for it."""
    script = Script(no(429, "overloaded", **{"Retry-After": "31"}))
    with pytest.raises(RemoteError) as raised:
        ask(script)
    assert (raised.value.code, script.times) == ("overloaded", [1000.0])


def test_a_server_that_stays_busy_is_given_up_within_the_deadline() -> None:
    script = Script(no(503, "not_ready"))
    with pytest.raises(RemoteError) as raised:
        ask(script, timeout_s=10.0)
    assert raised.value.code == "not_ready"
    assert script.times[-1] < 1010.0
    assert 5 < len(script.times) < 20


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """Keep-alive connections end whenever the server likes."""
    assert ask(Script(Interrupted("cut"), ok())).data == 1


def test_a_connection_that_is_cut_again_and_again_is_given_up() -> None:
    script = Script(Interrupted("cut"))
    with pytest.raises(Interrupted):
        ask(script)
    assert len(script.times) == 3


@pytest.mark.parametrize("error", [Unreachable("refused"), BadAnswer("garbage")])
def test_other_failures_are_told_at_once(error: ClientError) -> None:
    script = Script(error)
    with pytest.raises(type(error)):
        ask(script)
    assert len(script.times) == 1


def test_a_bad_request_is_told_at_once() -> None:
    script = Script(no(400, "bad_request"))
    with pytest.raises(RemoteError):
        ask(script)
    assert len(script.times) == 1


def test_silence_ends_at_the_deadline_and_shows_no_secret() -> None:
    with pytest.raises(TimedOut, match=r"^no answer from http://there:1/ml within 30 s$"):
        ask(Script(forever))


def test_the_deadline_counts_tries_again() -> None:
    """Three tries of 30 s each would be 90."""

    async def slow() -> HttpAnswer:
        await asyncio.sleep(20)
        return no(429, "overloaded")

    script = Script(slow)
    with pytest.raises(TimedOut):
        ask(script)
    assert len(script.times) == 2


@pytest.mark.parametrize("step", [forever, no(429, "overloaded", **{"Retry-After": "20"})], ids=["asking", "waiting"])
def test_a_caller_that_leaves_is_gone_at_once(step: Any) -> None:
    async def leave() -> None:
        client = PlainClient(URL, transport=Script(step), chance=lambda: 0.0)
        task = asyncio.create_task(client.eval("m", {}))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert clock() == 1001.0
        await client.close()

    run(leave())


def test_one_that_leaves_harms_nobody_else() -> None:
    async def slow() -> HttpAnswer:
        await asyncio.sleep(5)
        return ok()

    async def both() -> None:
        async with PlainClient(URL, transport=Script(slow)) as client:
            leaving, staying = (asyncio.create_task(client.eval("m", {})) for _ in range(2))
            await asyncio.sleep(1)
            leaving.cancel()
            assert (await staying).data == 1
            assert leaving.cancelled()

    run(both())


def test_closed_while_it_waits_to_ask_again_it_asks_no_more() -> None:
    script = Script(no(503, "not_ready", **{"Retry-After": "2"}))

    async def close() -> None:
        client = PlainClient(URL, transport=script, chance=lambda: 0.0)
        task = asyncio.create_task(client.eval("m", {}))
        await asyncio.sleep(1)
        await client.close()
        with pytest.raises(ClientError, match="the client is closed"):
            await task

    run(close())
    assert len(script.times) == 1


def test_used_after_its_end_it_says_so() -> None:
    async def use() -> None:
        async with PlainClient(URL, transport=Script(ok())) as client:
            pass
        with pytest.raises(ClientError, match="the client is closed: make a new one"):
            await client.eval("m", {})

    run(use())


def test_a_url_that_cannot_be_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="expected http://host:port"):
        PlainClient("localhost:8086")


def test_a_value_that_is_no_json_is_the_callers_fault() -> None:
    async def use() -> None:
        async with PlainClient(URL, transport=Script(ok())) as client:
            with pytest.raises(TypeError):
                await client.eval("m", {"x": object()})

    run(use())
