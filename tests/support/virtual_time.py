"""An event loop whose clock moves only when nothing else is left to do: seconds of waiting take no time."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time()`` starts at 1000 and jumps to the next timer whenever the loop would sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_Sleepless(self))

    def time(self) -> float:
        return self.now


class _Sleepless(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            assert timeout is not None, "everybody waits, and nothing is left that could wake them"
            # The loop runs timers that are due within its resolution: never end just short of one.
            self._loop.now += timeout
        return events


def clock() -> float:
    """The running loop's time; for what takes a clock."""
    return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T]) -> T:
    """``main`` to its end on a loop of its own; what the loop complains of, or a task left behind, fails the test."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {sorted(map(repr, left))}"
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(watched())
    assert not complaints, complaints
    return result


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Decorates a test that is to have a loop of its own, with a virtual clock."""

    @functools.wraps(test)
    def on_its_own_loop(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return on_its_own_loop
