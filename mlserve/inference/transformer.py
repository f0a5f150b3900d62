"""``Transformer: module:function`` or ``file.py:function``: user code between the model and the answer.

The function takes ``(inputs, outputs)`` and answers a mapping that becomes the row's ``data`` (and what is cached).
By default it is called for each row with plain values; with the attribute ``per_batch = True`` it is called once with
columns (numpy arrays that share axis 0) and answers columns. It may be ``async``. Because the answer may be cached,
``inputs`` holds only what is in the key: an auxiliary input that is not in ``KeyFields`` is refused by name.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from secrets import token_hex
from types import ModuleType
from typing import Any

import numpy as np

from mlserve.errors import DeadlineExceeded, LoadError
from mlserve.inference.failure import inference_failed
from mlserve.types import Array, Context, Interface, Predict, Rows
from mlserve.values import plain_row

TransformFunction = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]


def load_transformer(target: str, file: Path | None) -> TransformFunction:
    """The function that ``target`` names; ``file`` is the copied source for targets of the form ``file.py:function``.

    Raises :class:`LoadError` if it cannot be imported or is no function.
    """
    module_name, _, function_name = target.rpartition(":")
    try:
        module = _module_from(file) if file else import_module(module_name)
        function = getattr(module, function_name)
    except AttributeError:
        raise LoadError(f"Transformer {target}: there is no {function_name!r} in it") from None
    except Exception as error:
        raise LoadError(f"Transformer {target} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise LoadError(f"Transformer {target} is {type(function).__name__}, expected a function (inputs, outputs)")
    return function  # type: ignore[no-any-return]  # user code: its answer is checked on every call


def transforming(predict: Predict, function: TransformFunction, interface: Interface, model_id: str) -> Predict:
    """``predict`` followed by ``function``; a function that is not async runs in a thread."""
    visible = frozenset(field.name for field in interface.inputs if not field.auxiliary or field.wildcard)
    per_batch = bool(getattr(function, "per_batch", False))

    async def transformed(rows: Rows, context: Context) -> Rows:
        outputs = await predict(rows, context)
        if per_batch:
            calls = [(_Visible(rows.columns, visible), outputs.columns)]
        else:
            calls = [(_Visible(plain_row(rows, i), visible), plain_row(outputs, i)) for i in range(rows.count)]
        limit = asyncio.timeout_at(context.deadline)
        try:
            async with limit:
                if inspect.iscoroutinefunction(function):
                    answers = [await function(*call) for call in calls]
                else:
                    answers = await asyncio.to_thread(lambda: [function(*call) for call in calls])
            return _from_columns(answers[0], rows.count) if per_batch else _from_rows(answers)
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                raise DeadlineExceeded(f"the transformer of {model_id} did not answer before the deadline") from None
            raise inference_failed(model_id, "the transformer", error) from error

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
            raise KeyError(
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
    names = list(mappings[0])
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
    """A fresh module per version: two versions of one file may serve side by side while the older drains."""
    spec = spec_from_file_location(f"mlserve_transformer_{token_hex(4)}", file)
    if spec is None or spec.loader is None:
        raise LoadError(f"{file.name} is not a Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
