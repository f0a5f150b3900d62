"""mlserve beside other servers of models: ``python -m benchmarks.peers`` (or ``make bench ARGS=peers``).

The same model, on one core each in turns, asked the same rows, and held to the same answers. What other people's
servers need is fetched from PyPI into environments of their own, and they are set up as their makers would want to be
measured: batching where it helps them, no logs for each request, one thread where there is one core.

``hosted`` is what we wrote to run inside them.
"""
