"""``Outputs``: columns that nobody asked for go no further than the model."""

from __future__ import annotations

from collections.abc import Sequence

from mlserve.types import Context, Predict, Rows, Signature, TensorSpec


def selecting(predict: Predict, signature: Signature, answered: Sequence[TensorSpec]) -> Predict:
    """``predict`` with only the ``answered`` columns; ``predict`` itself if those are all."""
    names = [spec.name for spec in answered]
    if len(names) == len(signature.outputs):
        return predict

    async def selected(rows: Rows, context: Context) -> Rows:
        answer = await predict(rows, context)
        return Rows({name: answer.columns[name] for name in names}, answer.count)

    return selected
