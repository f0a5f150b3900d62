"""How the cost of an answer grows with what a server holds and with what it is asked: ``python -m benchmarks growth``.

An axis is one thing that grows. Everything along it is a real server on the first core, asked by wrk from the second,
in turns, so that the neighbours' bad minute falls on all of them. The figure is processor time for each answer.
"""
