"""What mlserve costs, measured: ``python -m benchmarks`` (or ``make bench``) prints one table.

One file, one question. Nothing here is asserted by a test: figures depend on the machine and on who else uses it, so
each is a median of several runs, and what is compared is measured in turns within one run.
"""
