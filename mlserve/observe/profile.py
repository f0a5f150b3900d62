"""A sampling profile of every Python thread: where processor time goes, at about one percent of its cost.

A thread of its own looks at the stacks of all others a hundred times a second and books the processor time that each
has used since the last look (Linux tells it for each thread) on the stack that it finds. Threads that wait cost
nothing and do not show. Where threads' times are not told, every look counts alike, waiting included.

Work that runs outside Python (ONNX Runtime's and TensorFlow's own threads) has no stack to show: :class:`Profile`
says how much of the process' time that is.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import clock_gettime_ns, monotonic, process_time
from types import FrameType
from typing import Final

INTERVAL_S: Final = 0.01
SWITCH_S: Final = 1e-5
"""How long Python code may go on when we want to look. With the usual 5 ms we would only ever find threads where they
give way by themselves, which is at the loop's system calls and not in the code that takes the time. System calls still
get more than their share: we are woken some 50 us late, and requests are about as short."""
MAX_DEPTH: Final = 128
"""Frames of one stack that are told apart, the outermost first."""


@dataclass(frozen=True, slots=True)
class Profile:
    """``stacks`` maps frames, outermost first, to seconds; the first of each is the name of the thread.

    ``on_cpu`` is true if these are processor time, false if they are time of any kind. ``process_s`` is the
    processor time of the whole process meanwhile, that of threads without Python included.
    """

    stacks: dict[tuple[str, ...], float]
    seconds: float
    looks: int
    on_cpu: bool
    process_s: float


class ThreadTimes:
    """Processor time of this process' threads."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.known = self.used_s(threading.get_native_id()) is not None

    def used_s(self, native_id: int) -> float | None:
        """Seconds used since the last call for this thread, 0 at the first; ``None`` if the system does not tell."""
        # Linux' clock of one thread by its id: what pthread_getcpuclockid() makes, which may crash for one that ended.
        try:
            now = clock_gettime_ns((~native_id << 3) | 6) if sys.platform == "linux" else None
        except OSError:
            return None
        if now is None:
            return None
        used = now - self._last.get(native_id, now)
        self._last[native_id] = now
        return used / 1e9


def take_profile(seconds: float, stop: threading.Event, times: Callable[[], ThreadTimes] = ThreadTimes) -> Profile:
    """Blocks for ``seconds``, or until ``stop`` is set. Call it in a thread that should not show in the profile."""
    clock = times()
    on_cpu = clock.known
    stacks: Counter[tuple[str, ...]] = Counter()
    began, process_began, looks = monotonic(), process_time(), 0
    last = began
    switch_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        while (now := monotonic()) < began + seconds:
            _look(stacks, clock if on_cpu else None, now - last)
            looks += 1
            last = now
            if stop.wait(INTERVAL_S):
                break
    finally:
        sys.setswitchinterval(switch_interval_s)
    return Profile(dict(stacks), monotonic() - began, looks, on_cpu, process_time() - process_began)


def _look(stacks: Counter[tuple[str, ...]], times: ThreadTimes | None, elapsed_s: float) -> None:
    threads = {thread.ident: thread for thread in threading.enumerate()}
    mine = threading.get_ident()
    frames = sys._current_frames()  # noqa: SLF001  # documented; the only way to see other threads' stacks
    for ident, frame in frames.items():
        thread = threads.get(ident)
        if ident == mine or thread is None:
            continue
        spent: float | None = elapsed_s
        if times is not None:
            spent = times.used_s(thread.native_id) if thread.native_id is not None else None
        if spent:
            stacks[(thread.name, *_stack(frame))] += spent  # type: ignore[assignment]  # a Counter also counts floats


def _stack(frame: FrameType | None) -> list[str]:
    names = []
    while frame is not None:
        names.append(_name(frame))
        frame = frame.f_back
    return names[: -MAX_DEPTH - 1 : -1]


def _name(frame: FrameType) -> str:
    code = frame.f_code
    module = frame.f_globals.get("__name__") or os.path.basename(code.co_filename)
    return f"{module}.{code.co_qualname}"
