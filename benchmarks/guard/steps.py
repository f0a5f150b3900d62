"""How many instructions of Python something takes, function by function.

The interpreter tells of each before it runs it. What it runs is bytecode, the same for every Python of a minor version,
and telling slows it down a hundred times but changes no number.
"""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from benchmarks.process import ROOT

Steps = dict[str, int]
"""By file and function, ``mlserve/transport/door.py Door.data_received``."""

_TOOL: Final = 3
"""Of the six numbers for tools, one that no debugger, profiler or coverage takes."""
_HERE: Final = str(Path(__file__).parent)
_ROOTS: Final = tuple(
    f"{folder}/"
    for folder in (ROOT, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("stdlib"))
)


class StepCounter:
    """Counts between :meth:`start` and :meth:`stop`, in all threads but those begun before it was made."""

    def __init__(self) -> None:
        self._seen: list[CodeType] = []  # appending is one step of C, so that no thread loses one of another's
        self._counting = False
        if sys.version_info >= (3, 12):
            sys.monitoring.use_tool_id(_TOOL, "benchmarks.guard")
            sys.monitoring.register_callback(_TOOL, sys.monitoring.events.INSTRUCTION, self._step)
        else:
            threading.settrace(self._enter)

    def start(self) -> None:
        self._seen.clear()
        self._counting = True
        if sys.version_info >= (3, 12):
            sys.monitoring.set_events(_TOOL, sys.monitoring.events.INSTRUCTION)
        else:
            sys.settrace(self._enter)

    def stop(self) -> Steps:
        """What was counted since :meth:`start`, but for the guard's own."""
        if sys.version_info >= (3, 12):
            sys.monitoring.set_events(_TOOL, sys.monitoring.events.NO_EVENTS)
        else:
            sys.settrace(None)
        self._counting = False
        counted: Counter[str] = Counter()
        for code, count in Counter(self._seen).items():
            if not code.co_filename.startswith(_HERE):
                counted[f"{_short(code.co_filename)} {code.co_qualname}"] += count
        return dict(counted)

    def close(self) -> None:
        """The interpreter forgets it."""
        if sys.version_info >= (3, 12):
            sys.monitoring.register_callback(_TOOL, sys.monitoring.events.INSTRUCTION, None)
            sys.monitoring.free_tool_id(_TOOL)
        else:
            threading.settrace(None)

    def _step(self, code: CodeType, offset: int) -> None:
        self._seen.append(code)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not self._counting:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._trace

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self._seen.append(frame.f_code)
        return self._trace


def _short(file: str) -> str:
    root = max((root for root in _ROOTS if file.startswith(root)), key=len, default="")
    return file.removeprefix(root)
