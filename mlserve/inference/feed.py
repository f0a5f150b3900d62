"""Between the rows that callers send and the tensors that a runtime takes, for each way of serving.

``ROWS``  column (n, …) <-> tensor (n, …) or (n, 1)
``ONE``   each row        -> tensor (1, …), outputs joined along axis 0
``WHOLE`` the only row    -> the tensor itself, outputs given a leading axis of 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mlserve.types import Array, Rows, Serving, Signature, TensorSpec


class Misaligned(Exception):
    """An output's first axis does not count the rows that went in: this model cannot be served by rows."""

    def __init__(self, output: str, shape: tuple[int, ...], rows: int) -> None:
        super().__init__(f"output {output!r} has shape {list(shape)} for {rows} row{'s' if rows != 1 else ''}")


class Feed:
    """Shapes one model's tensors. Pure: holds only the signature and the way of serving."""

    def __init__(self, signature: Signature, serving: Serving) -> None:
        self._signature = signature
        self._serving = serving
        self._outputs = [spec.name for spec in signature.outputs]
        self._inputs = [(spec.name, _is_column(spec)) for spec in signature.inputs]

    def tensors(self, rows: Rows) -> Iterable[dict[str, Array]]:
        """The inputs of each run that ``rows`` need, in order: one run, or one per row; none for no rows.

        Auxiliary columns stay out.
        """
        if self._serving is Serving.ROWS:
            return (self._run(rows.columns),) if rows.count else ()
        if self._serving is Serving.ONE:
            return map(self._run, (rows.take(slice(row, row + 1)).columns for row in range(rows.count)))
        return ({name: rows.columns[name][row, ...] for name, _ in self._inputs} for row in range(rows.count))

    def _run(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        return {name: columns[name].reshape(-1, 1) if is_column else columns[name] for name, is_column in self._inputs}

    def rows(self, runs: Sequence[Mapping[str, Array]], count: int) -> Rows:
        """The outputs of those runs as ``count`` rows. Raises :class:`Misaligned` if they do not line up."""
        if not runs:
            return Rows({spec.name: _empty(spec, self._serving) for spec in self._signature.outputs}, 0)
        if self._serving is Serving.WHOLE:
            return Rows(
                {spec.name: _stack([run[spec.name] for run in runs]) for spec in self._signature.outputs}, count
            )
        per_run = 1 if self._serving is Serving.ONE else count
        for run in runs:
            for name in self._outputs:
                piece = run[name]
                if piece.ndim == 0 or len(piece) != per_run:
                    raise Misaligned(name, piece.shape, per_run)
        if len(runs) == 1:
            run = runs[0]
            return Rows({name: run[name] for name in self._outputs}, count)
        return Rows({name: np.concatenate([run[name] for run in runs]) for name in self._outputs}, count)


def _is_column(spec: TensorSpec) -> bool:
    return spec.shape is not None and len(spec.shape) == 2 and spec.shape[1] == 1


def _empty(spec: TensorSpec, serving: Serving) -> Array:
    """No rows of ``spec``, free dimensions taken as 0."""
    shape = spec.shape or ()
    row = shape if serving is Serving.WHOLE else shape[1:]
    return np.empty((0, *(dim or 0 for dim in row)), spec.dtype.numpy)


def _stack(tensors: Sequence[Array]) -> Array:
    if len(tensors) == 1:
        return tensors[0][np.newaxis]
    return np.stack(tensors)
