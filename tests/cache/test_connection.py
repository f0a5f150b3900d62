"""A store that is away would cost every request a timeout, or never be used again, if these failed."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mlserve.cache.connection import FAILURES, FIRST_RETRY_S, LONGEST_RETRY_S, STEADY_S
from mlserve.contracts.store import StoreFault
from tests.support import virtual_time
from tests.support.fake_store import FakeStore, connected


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_it_is_down_until_it_has_answered(caplog: pytest.LogCaptureFixture) -> None:
    """A start waits for no store, and the first requests do not either."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        connection = connected(FakeStore())
        assert connection.down == "not connected yet"
        await connection.tried.wait()
        assert connection.down is None
        assert connection.up.is_set()
        await connection.close()

    virtual_time.run(main())
    assert lines(caplog) == ["connection shared (fake://host) is up"]


def test_absent_at_start_it_is_tried_ever_more_rarely_until_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it is found to be away, one when it has come, and no storm of attempts between."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        store = FakeStore()
        store.down = "connection refused"
        connection = connected(store)
        await connection.tried.wait()
        assert connection.down == "connection refused"
        await asyncio.sleep(600)
        assert 600 / LONGEST_RETRY_S < store.opened < 600 / LONGEST_RETRY_S + 10
        store.down = None
        await asyncio.sleep(LONGEST_RETRY_S)
        assert connection.down is None
        await connection.close()

    virtual_time.run(main())
    first, second = lines(caplog)
    assert first == "connection shared (fake://host) is down: connection refused; answers come without it"
    assert second.startswith("connection shared (fake://host) works again after 6")


def test_failures_in_a_row_take_it_down(caplog: pytest.LogCaptureFixture) -> None:
    """One failure may be chance; a success between them starts the count again."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        store = FakeStore()
        connection = connected(store)
        await connection.tried.wait()
        for _ in range(FAILURES - 1):
            connection.failed(StoreFault("reset"))
        connection.succeeded()
        for _ in range(FAILURES - 1):
            connection.failed(StoreFault("reset"))
        assert connection.down is None
        connection.failed(TimeoutError())
        assert connection.down == "no answer in time"
        connection.failed(StoreFault("of a read that was under way"))
        assert not connection.up.is_set()
        await connection.up.wait()
        assert store.opened == 1, "what was open is probed, not opened again"
        await connection.close()

    virtual_time.run(main())
    assert [line.partition(": ")[0] for line in lines(caplog)] == [
        "connection shared (fake://host) is up",
        "connection shared (fake://host) is down",
        f"connection shared (fake://host) works again after {FIRST_RETRY_S:.1f} s"
        if FIRST_RETRY_S >= STEADY_S
        else "connection shared (fake://host) works again after 0.5 s",
    ]


def test_a_store_that_answers_too_slowly_is_not_taken_back() -> None:
    """Requests would pay for every attempt: a probe must be as quick as a read."""

    async def main() -> None:
        store = FakeStore()
        connection = connected(store)
        await connection.tried.wait()
        store.delay_s = 0.05
        for _ in range(FAILURES):
            connection.failed(TimeoutError())
        await asyncio.sleep(60)
        assert connection.down == "no answer in time"
        assert store.checked > 3
        store.delay_s = 0.0
        await connection.up.wait()
        await connection.close()

    virtual_time.run(main())


def test_one_that_comes_and_goes_is_tried_ever_more_rarely() -> None:
    """A store that fails again as soon as it is asked would otherwise be asked four times a second for ever."""

    async def main() -> None:
        connection = connected(FakeStore())
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(8):
            await connection.up.wait()
            for _ in range(FAILURES):
                connection.failed(StoreFault("reset"))
            went = loop.time()
            await connection.up.wait()
            waits.append(loop.time() - went)
        assert waits == sorted(waits)
        assert waits[-1] == pytest.approx(LONGEST_RETRY_S)
        await asyncio.sleep(STEADY_S)
        for _ in range(FAILURES):
            connection.failed(StoreFault("reset"))
        went = loop.time()
        await connection.up.wait()
        assert loop.time() - went == pytest.approx(FIRST_RETRY_S)
        await connection.close()

    virtual_time.run(main())


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_it_closes_at_any_time(seconds: float) -> None:
    """While it connects too; afterwards nobody is sent to it, and no attempt goes on."""

    async def main() -> None:
        store = FakeStore()
        store.delay_s = 0.5
        connection = connected(store)
        await asyncio.sleep(seconds)
        await connection.close()
        connection.failed(StoreFault("late"))
        assert connection.down == "closed"
        assert connection.tried.is_set()

    virtual_time.run(main())


def test_a_store_that_hangs_in_closing_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """A stop must end."""

    async def main() -> None:
        class Hanging(FakeStore):
            async def close(self) -> None:
                await asyncio.sleep(3600)

        connection = connected(Hanging())
        await connection.up.wait()
        await connection.close()

    virtual_time.run(main())
    assert "did not close" in lines(caplog)[-1]


def test_a_fault_of_ours_is_told_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """And the connection is tried again all the same."""

    async def main() -> None:
        class Broken(FakeStore):
            async def check(self) -> None:
                await super().check()
                if self.checked == 1:
                    raise KeyError("odd")

        connection = connected(Broken())
        await connection.up.wait()
        await connection.close()

    virtual_time.run(main())
    assert any(record.exc_info for record in caplog.records)
