"""What was measured, before anybody writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from benchmarks.figure import compared
from benchmarks.peers.workload import Case


@dataclass(frozen=True, slots=True)
class Asked:
    """One way to ask one server one case: an item for each round, but for ``latencies_us``, which has all callers'."""

    name: str
    case: Case
    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    latencies_us: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second, the median of the rounds."""
        return median(self.per_second)

    @property
    def cost(self) -> float:
        """Microseconds of processor for each answer, the median of the rounds."""
        return median(self.cpu_us)

    def times_ours(self, ours: Asked) -> float:
        """How many of our answers cost the processor time of one of these, the median of the rounds."""
        return compared(self.cpu_us, ours.cpu_us)

    def percentile_us(self, share: float) -> float:
        """The latency that ``share`` of the callers did not exceed."""
        ordered = sorted(self.latencies_us)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Started:
    """One server: an item for each round. Memory is that after the round's load."""

    name: str
    seconds: list[float] = field(default_factory=list)
    memory_bytes: list[float] = field(default_factory=list)


class Results:
    """All of it, in the order in which servers took turns. ``absent`` says why one is not, or no longer, measured."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.absent: dict[str, str] = {}
        self._asked: dict[tuple[str, str], Asked] = {}
        self._started: dict[str, Started] = {}

    def asked(self, name: str, case: Case) -> Asked:
        """Where to put what this round found."""
        return self._asked.setdefault((name, case.name), Asked(name, case))

    def started(self, name: str) -> Started:
        """As :meth:`asked`."""
        return self._started.setdefault(name, Started(name))

    def of(self, case: Case) -> list[Asked]:
        """Those that answered this case in every round: others cannot be compared."""
        return [asked for asked in self._asked.values() if asked.case is case and len(asked.cpu_us) == self.rounds]

    def starts(self) -> list[Started]:
        """Those that came through every round."""
        return [started for started in self._started.values() if len(started.seconds) == self.rounds]
