"""``Transformer: module:function`` or ``file.py:function``: user code between the model and the answer.

The function takes ``(inputs, outputs)`` and answers a mapping that becomes the row's ``data`` (and what is cached).
By default it is called for each row with plain values; with the attribute ``per_batch = True`` it is called once with
columns (numpy arrays that share axis 0) and answers columns. It may be ``async``: then it runs on the event loop and
must not block it. Because the answer may be cached, ``inputs`` holds only what is in the key: an auxiliary input that
is not in ``KeyFields`` is refused by name.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mlserve.errors import DeadlineExceeded, LoadError
from mlserve.inference.failure import inference_failed
from mlserve.inference.workers import Workers
from mlserve.types import Array, Context, Interface, Predict, Rows
from mlserve.user_code import forget, run_file
from mlserve.values import plain_row

TransformFunction = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]


class HiddenInput(LookupError):
    """A transformer asked for an input that is not in the key. No ``KeyError``: ``inputs.get`` would swallow that."""


def load_transformer(target: str, file: Path | None) -> TransformFunction:
    """The function that ``target`` names; ``file`` is the copied source for targets of the form ``file.py:function``.

    Blocks: it runs the user's module. Raises :class:`LoadError` if that cannot be imported or holds no such function.
    """
    module_name, _, function_name = target.rpartition(":")
    try:
        module = _module_from(file) if file else import_module(module_name)
    except (Exception, SystemExit) as error:  # user code: a module that calls sys.exit() must not end the server
        raise LoadError(f"Transformer {target} cannot be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, function_name, None)
    if function is None:
        raise LoadError(f"Transformer {target}: there is no {function_name!r} in it")
    if not callable(function):
        raise LoadError(f"Transformer {target} is {type(function).__name__}, expected a function (inputs, outputs)")
    return function  # type: ignore[no-any-return]  # user code: its answer is checked on every call


def transforming(
    predict: Predict, function: TransformFunction, interface: Interface, model_id: str, workers: Workers
) -> Predict:
    """``predict`` followed by ``function``; a function that is not async runs in one of ``workers``."""
    visible = frozenset(field.name for field in interface.inputs if not field.auxiliary or field.wildcard)
    per_batch = bool(getattr(function, "per_batch", False))
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    name = f"the transformer of {model_id}"

    def calls(rows: Rows, outputs: Rows) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        if per_batch:
            return [(_Visible(rows.columns, visible), outputs.columns)]
        return [(_Visible(plain_row(rows, i), visible), plain_row(outputs, i)) for i in range(rows.count)]

    def rows_of(answers: Sequence[object], count: int) -> Rows:
        return _from_columns(answers[0], count) if per_batch else _from_rows(answers)

    def in_thread(rows: Rows, outputs: Rows) -> Rows:
        try:
            return rows_of([function(*call) for call in calls(rows, outputs)], rows.count)
        except (Exception, SystemExit) as error:
            raise inference_failed(model_id, "the transformer", error) from error

    async def on_loop(rows: Rows, outputs: Rows, deadline: float) -> Rows:
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                return rows_of([await function(*call) for call in calls(rows, outputs)], rows.count)
        except (Exception, SystemExit) as error:
            if isinstance(error, TimeoutError) and limit.expired():
                raise DeadlineExceeded(f"{name} did not answer before the deadline") from None
            raise inference_failed(model_id, "the transformer", error) from error

    async def transformed(rows: Rows, context: Context) -> Rows:
        outputs = await predict(rows, context)
        if is_async:
            return await on_loop(rows, outputs, context.deadline)
        return await workers.run(lambda: in_thread(rows, outputs), rows.count, context.deadline)

    return transformed


class _Visible(Mapping[str, Any]):
    """The inputs that a transformer may see; asking for another says why it may not."""

    def __init__(self, values: Mapping[str, Any], visible: frozenset[str]) -> None:
        self._values = values
        self._visible = visible

    def __getitem__(self, name: str) -> Any:
        if name in self._visible:
            return self._values[name]
        if name in self._values:
            raise HiddenInput(
                f"auxiliary input {name!r} is not in the cache key, so an answer must not depend on it: "
                f"name it in KeyFields to see it here"
            )
        raise KeyError(f"no input {name!r}; there are: {', '.join(sorted(self._visible))}")

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._values if name in self._visible)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _from_columns(answer: object, count: int) -> Rows:
    if not isinstance(answer, Mapping):
        raise TypeError(f"expected a mapping of columns, got {type(answer).__name__}")
    columns = {
        str(name): column if isinstance(column, np.ndarray) else _column(column) for name, column in answer.items()
    }
    for name, column in columns.items():
        if column.ndim == 0 or len(column) != count:
            raise ValueError(f"column {name!r} has shape {list(column.shape)}, expected {count} rows")
    return Rows(columns, count)


def _from_rows(answers: Sequence[object]) -> Rows:
    mappings = [answer for answer in answers if isinstance(answer, Mapping)]
    if len(mappings) != len(answers):
        raise TypeError("expected a mapping of names to values for every row")
    names = list(mappings[0]) if mappings else []
    for index, mapping in enumerate(mappings):
        if mapping.keys() != mappings[0].keys():
            raise ValueError(f"row {index} has members {sorted(mapping)}, row 0 has {sorted(names)}")
    return Rows({str(name): _column([mapping[name] for mapping in mappings]) for name in names}, len(answers))


def _column(values: Sequence[Any]) -> Array:
    """``values`` as a typed column where they are numbers of one kind, else as plain values, one per row."""
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and issubclass(kind := kinds.pop(), bool | float | np.generic):
        return np.asarray(values, dtype=np.dtype(kind))
    column = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):  # an assignment of the whole would unpack values that are lists
        column[index] = value
    return column


def _module_from(file: Path) -> ModuleType:
    module = run_file(file)
    forget(module)  # nobody says when a function is done with; what it needs, it holds
    return module
