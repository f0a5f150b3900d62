"""Several hosts behind one door: who is asked, when another is, and when it is enough."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from mlserve.client.budget import RetryBudget
from mlserve.client.host import FAILURES
from mlserve.client.remote import Remote, Request
from mlserve.client.transport import HttpAnswer
from mlserve.errors import BadAnswer, ClientError, Interrupted, RemoteError, TimedOut, Unreachable
from tests.support.virtual_time import clock, run

A, B, C = "http://a:1", "http://b:1", "http://c:1"
Step = str | ClientError | Callable[[], Awaitable[str]]


class Hosts:
    """What each host does: the last of its steps for ever. ``asked`` are the hosts of requests, in order."""

    def __init__(self, **steps: Sequence[Step]) -> None:
        self.steps = {f"http://{name}:1": list(it) for name, it in steps.items()}
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.probed: Counter[str] = Counter()
        self.closed: list[str] = []

    def transport(self, url: str) -> _Way:
        return _Way(self, url)

    def remote(self, *, budget: RetryBudget | None = None) -> Remote:
        return Remote(list(self.steps), self.transport, budget=budget, chance=lambda: 0.0)

    async def step(self, url: str) -> HttpAnswer:
        steps = self.steps[url]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, ClientError):
            raise step
        return HttpAnswer(200, "OK", {}, (step if isinstance(step, str) else await step()).encode())


class _Way:
    def __init__(self, hosts: Hosts, url: str) -> None:
        self._hosts, self._url = hosts, url

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        self._hosts.asked.append(self._url)
        self._hosts.headers.append(headers)
        return await self._hosts.step(self._url)

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        assert path == "/healthz"
        self._hosts.probed[self._url] += 1
        return await self._hosts.step(self._url)

    async def close(self) -> None:
        self._hosts.closed.append(self._url)


def read(answer: HttpAnswer, place: str) -> str:
    """``busy 3`` is a refusal to be tried again in three seconds."""
    word, _, seconds = answer.body.decode().partition(" ")
    if word in ("busy", "bad"):
        status = 503 if word == "busy" else 400
        raise RemoteError(word, status=status, retry_after_s=float(seconds) if seconds else None)
    if word == "garbage":
        raise BadAnswer(place)
    return word


REQUEST = Request("/eval", b"{}", read, {"Own": "1"})


def ask(hosts: Hosts, *, timeout_s: float = 10.0, budget: RetryBudget | None = None, calls: int = 1) -> list[str]:
    async def all_of_them() -> list[str]:
        remote = hosts.remote(budget=budget)
        try:
            return [(await remote.ask(REQUEST, timeout_s)).answer for _ in range(calls)]
        finally:
            await remote.close()

    answers = run(all_of_them())
    assert hosts.closed == list(hosts.steps)
    return answers


async def forever() -> str:
    await asyncio.Event().wait()
    raise AssertionError


def after(seconds: float, answer: str) -> Callable[[], Awaitable[str]]:
    async def step() -> str:
        await asyncio.sleep(seconds)
        return answer

    return step


@pytest.mark.parametrize("fault", [Unreachable("refused"), Interrupted("cut"), "busy"])
def test_another_host_answers_at_once(fault: Step) -> None:
    """A call must not fail, nor wait, for one host of several."""
    hosts = Hosts(a=[fault], b=["yes"])
    before = 1000.0

    async def once() -> None:
        remote = hosts.remote()
        reply = await remote.ask(REQUEST, 10.0)
        assert (reply.answer, reply.host.place, reply.tries, clock()) == ("yes", B, 2, before)
        await remote.close()

    run(once())
    assert hosts.asked == [A, B]


@pytest.mark.parametrize(("fault", "error"), [("bad", RemoteError), ("garbage", BadAnswer)])
def test_what_another_host_would_say_too_is_told_at_once(fault: str, error: type[ClientError]) -> None:
    hosts = Hosts(a=[fault], b=["yes"])
    with pytest.raises(error):
        ask(hosts)
    assert hosts.asked == [A]


def test_a_host_that_is_down_is_asked_no_more_until_it_answers_a_probe() -> None:
    hosts = Hosts(a=[Unreachable("refused")] * 4 + ["yes"], b=["yes"])

    async def story() -> None:
        remote = hosts.remote()
        for _ in range(5):
            await remote.ask(REQUEST, 10.0)
        assert hosts.asked == [A, B, B, B, B, B]
        await asyncio.sleep(0.75)  # after 0.1, 0.3 and 0.7 s
        assert (hosts.probed[A], remote.hosts[0].up) == (3, False)
        await asyncio.sleep(1.0)
        assert (hosts.probed[A], remote.hosts[0].up) == (4, True)
        await remote.ask(REQUEST, 10.0)
        assert hosts.asked[-1] == A
        await remote.close()

    run(story())


def test_one_lost_answer_is_chance_and_several_are_a_host_that_is_down() -> None:
    hosts = Hosts(
        a=[Interrupted("cut")] * (FAILURES - 1) + ["yes", *[Interrupted("cut")] * FAILURES, forever], b=["yes"]
    )

    async def story() -> None:
        remote = hosts.remote()
        for _ in range(FAILURES):
            await remote.ask(REQUEST, 10.0)
        assert remote.hosts[0].up
        for _ in range(FAILURES + 2):
            await remote.ask(REQUEST, 10.0)
        assert not remote.hosts[0].up
        assert Counter(hosts.asked)[A] == 2 * FAILURES
        await remote.close()

    run(story())


def test_a_host_that_hangs_is_found_out() -> None:
    """It costs a few calls their time, and not every call for ever."""
    hosts = Hosts(a=[forever], b=["yes"])

    async def story() -> None:
        remote = hosts.remote()
        for _ in range(FAILURES):
            with pytest.raises(TimedOut, match=r"^no answer from http://a:1, http://b:1 within 2 s$"):
                await remote.ask(REQUEST, 2.0)
        assert (await remote.ask(REQUEST, 2.0)).answer == "yes"
        await remote.close()

    run(story())


def test_a_host_with_no_room_rests_as_long_as_it_asks_for() -> None:
    """Its refusals are quick, so by outstanding requests alone it would get them all."""
    hosts = Hosts(a=["busy 3", "yes"], b=["yes"])

    async def story() -> None:
        remote = hosts.remote()
        for _ in range(4):
            await remote.ask(REQUEST, 10.0)
        assert hosts.asked == [A, B, B, B, B]
        other = Request("/other", b"{}", read, {})
        await remote.ask(other, 10.0)
        assert hosts.asked[-1] == A  # it rests for that one model alone
        await asyncio.sleep(3.1)
        await remote.ask(REQUEST, 10.0)
        assert hosts.asked[-1] == A
        await remote.close()

    run(story())


def test_the_one_with_the_least_to_do_is_asked() -> None:
    hosts = Hosts(a=[after(5, "yes")], b=[after(1, "yes")], c=[after(1, "yes")])

    async def story() -> None:
        remote = hosts.remote()
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(remote.ask(REQUEST, 10.0))
            await asyncio.sleep(2)
            assert Counter(hosts.asked) == {A: 2, B: 2, C: 2}
            for _ in range(4):
                group.create_task(remote.ask(REQUEST, 10.0))
        assert Counter(hosts.asked) == {A: 2, B: 4, C: 4}
        assert [host.outstanding for host in remote.hosts] == [0, 0, 0]
        await remote.close()

    run(story())


def test_all_down_is_told_at_once() -> None:
    hosts = Hosts(a=[Unreachable("a")], b=[Unreachable("b")])
    with pytest.raises(Unreachable):
        ask(hosts)
    assert sorted(hosts.asked) == [A, B]


def test_all_down_a_host_is_asked_all_the_same() -> None:
    """It may have come back since the last probe: the first call after an outage must not fail for that."""
    hosts = Hosts(a=[Unreachable("a"), "yes"], b=[Unreachable("b")])

    async def story() -> None:
        remote = hosts.remote()
        with pytest.raises(Unreachable):
            await remote.ask(REQUEST, 10.0)
        assert [host.up for host in remote.hosts] == [False, False]
        assert (await remote.ask(REQUEST, 10.0)).answer == "yes"
        await remote.close()

    run(story())


def test_one_busy_and_one_down_is_waited_for() -> None:
    """That the second is down does not make the first less worth waiting for."""
    hosts = Hosts(a=["busy 2", "yes"], b=[Unreachable("b")])
    assert ask(hosts) == ["yes"]
    assert hosts.asked[:2] == [A, B]
    assert hosts.asked[-1] == A


def test_tries_again_are_bounded_by_the_calls() -> None:
    """A farm that has no room left must not get twice the requests for it."""
    hosts = Hosts(a=["busy"], b=["busy"])
    failures = 0

    async def story() -> None:
        nonlocal failures
        remote = hosts.remote(budget=RetryBudget(0.2, 5))
        for _ in range(100):
            try:
                await remote.ask(REQUEST, 0.5)
            except RemoteError:
                failures += 1
        await remote.close()

    run(story())
    assert failures == 100
    assert len(hosts.asked) <= 100 + 5 + 20


def test_a_dead_host_costs_no_budget() -> None:
    """It was not asked anything: every call moves on, however many there are."""
    hosts = Hosts(a=[Unreachable("a")], b=["yes"])
    assert ask(hosts, budget=RetryBudget(0.0, 0), calls=50) == ["yes"] * 50


def test_the_deadline_travels_and_shrinks() -> None:
    hosts = Hosts(a=["busy 2", "yes"])
    assert ask(hosts, timeout_s=5.0) == ["yes"]
    assert [headers["X-Request-Timeout-Ms"] for headers in hosts.headers] == ["5000", "3000"]
    assert {headers["Own"] for headers in hosts.headers} == {"1"}


def test_a_caller_that_leaves_is_gone_and_counts_for_nothing() -> None:
    async def story() -> None:
        remote = Hosts(a=[forever]).remote()
        for _ in range(FAILURES + 1):
            task = asyncio.create_task(remote.ask(REQUEST, 10.0))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (remote.hosts[0].outstanding, remote.hosts[0].up) == (0, True)
        await remote.close()

    run(story())


def test_closed_while_probing_nothing_is_left() -> None:
    async def story() -> None:
        remote = Hosts(a=[Unreachable("a"), forever], b=[Unreachable("b"), forever]).remote()
        with pytest.raises(Unreachable):
            await remote.ask(REQUEST, 10.0)
        await asyncio.sleep(0.15)
        await remote.close()
        with pytest.raises(ClientError, match="the client is closed"):
            await remote.ask(REQUEST, 10.0)

    run(story())


def test_a_host_that_is_alone_is_not_watched(caplog: pytest.LogCaptureFixture) -> None:
    """``mlserve eval`` has one, says itself what went wrong, and asks for nothing else."""
    hosts = Hosts(a=[Unreachable("a")])
    with pytest.raises(Unreachable):
        ask(hosts)
    assert not caplog.records
    assert not hosts.probed


@pytest.mark.parametrize(("urls", "text"), [([], "got none"), (["ftp://a"], "expected http://")])
def test_hosts_that_cannot_be_are_refused(urls: list[str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Remote(urls, Hosts().transport)


def test_a_host_named_twice_is_one() -> None:
    """Else it would get twice its share."""
    hosts = Hosts(a=["yes"])
    remote: Any = Remote([A, A + "/"], hosts.transport)
    assert [host.place for host in remote.hosts] == [A]
