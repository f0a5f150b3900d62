"""A model made of a Python function, whose runs a test can hold, count and make fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from mlserve.types import Array, DType, Lookups, Shape, Signature, TensorSpec

PATIENCE_S = 20.0
"""A thread that a test forgot to let go ends after this, so that a broken test fails and does not hang."""

Function = Callable[[Mapping[str, Array]], dict[str, Array]]


def double(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """``y`` is twice ``x``."""
    return {"y": inputs["x"] * 2}


def signature(
    inputs: Mapping[str, tuple[DType, Shape | None]] | None = None,
    outputs: Mapping[str, tuple[DType, Shape | None]] | None = None,
) -> Signature:
    """Tensors by name; ``x`` to ``y``, float32 scalars by rows, if nothing is said."""
    scalar = (DType.FLOAT32, (None,))
    return Signature(
        tuple(TensorSpec(name, *rest) for name, rest in (inputs or {"x": scalar}).items()),
        tuple(TensorSpec(name, *rest) for name, rest in (outputs or {"y": scalar}).items()),
    )


class FakeModel:
    """Implements :class:`mlserve.contracts.backend.LoadedModel`. ``calls`` keeps the inputs of every run begun."""

    runtime = "fake 1.0 (cpu)"

    def __init__(self, function: Function = double, sign: Signature | None = None, *, loop_safe: bool = False) -> None:
        self.signature = sign or signature()
        self.deterministic = True
        self.loop_safe = loop_safe
        self.lookups: Mapping[str, Lookups] = {}
        self.calls: list[dict[str, Array]] = []
        self.closed = 0
        self.closed_while_running = False
        self._function = function
        self._running = 0

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.calls.append(dict(inputs))
        self._running += 1
        try:
            return self._function(inputs)
        finally:
            self._running -= 1

    def close(self) -> None:
        self.closed += 1
        self.closed_while_running = self.closed_while_running or self._running > 0


class Gate:
    """Holds what passes through it until it is opened; let go at the end of its ``with`` at the latest."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._open = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.open()

    def hold(self) -> None:
        """Called by what is to wait here."""
        self._arrived.release()
        assert self._open.wait(PATIENCE_S), "the gate was never opened"

    def open(self) -> None:
        self._open.set()

    def wait_for_arrival(self) -> None:
        """Blocks until one more has come; call it through ``asyncio.to_thread``."""
        assert self._arrived.acquire(timeout=PATIENCE_S), "nothing came to the gate"

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The model function that doubles once the gate is open."""
        self.hold()
        return double(inputs)
