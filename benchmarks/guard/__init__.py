"""A guard against losses of speed: ``python -m benchmarks.guard`` (or ``make guard``) fails if a request costs more.

Each kind of request in ``paths.py`` is asked of the daemon itself, in a process of its own and without a socket, and
measured in two ways. Neither minds what else the machine does:

- **steps**: the instructions of Python that one request takes, function by function. They are the same on any machine.
- **times**: the processor time of a request beside that of a bare server over the same libraries, asked in turns: for
  what libraries do, of which steps know nothing.

``docs/decisions/guard.md`` says why these two.
"""
