"""The outermost wrapper: rows become canonical before cache, transformer or model see them."""

from __future__ import annotations

from mlserve.types import Context, Interface, Predict, Rows
from mlserve.values.canonical import canonical_rows, changes


def canonical(predict: Predict, interface: Interface) -> Predict:
    """``predict`` of canonical rows; ``predict`` itself if every row of ``interface`` is canonical."""
    if not interface.derived(changes):
        return predict

    async def of_canonical(rows: Rows, context: Context) -> Rows:
        return await predict(canonical_rows(rows, interface), context)

    return of_canonical
