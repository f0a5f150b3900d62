"""Do requests come together? Then it pays to wait for the end of the loop's step and share a run; else it does not."""

from __future__ import annotations


class Company:
    """Counts the requests of each step. Who finds no company and expects none has nothing to wait for.

    The last step tells what to expect of this one: callers that come together once will mostly do so again. A wrong
    guess costs one run that was not shared, or one step of waiting, and is put right in the step after.
    """

    __slots__ = ("_expected", "_present")

    def __init__(self) -> None:
        self._present = 0
        self._expected = True

    def came(self) -> bool:
        """A request has come; true if there is company, or some to be expected before the step ends."""
        self._present += 1
        return self._expected or self._present > 1

    def step_ended(self) -> None:
        if self._present:
            self._expected = self._present > 1
            self._present = 0
