"""The node of :mod:`tests.support.aerospike_double` in a process of its own, for servers that outlive a single test.

In the tests' own process, every connection that such a server opens would be a thread that the running test leaves.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.aerospike_double import aerospike_double

_ROOT = Path(__file__).parents[2]
_ENDS_WITHIN_S = 20.0


@contextmanager
def aerospike_process() -> Iterator[int]:
    """Its port, on the loopback; namespace ``test``."""
    command = [sys.executable, "-m", "tests.support.aerospike_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(_ENDS_WITHIN_S)


def main() -> None:
    """Prints the port, and serves until whoever started it closes its end."""
    with aerospike_double() as double:
        print(double.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
