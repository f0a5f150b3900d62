"""User code between model and answer would change what is cached, stop the server or fail silently, if these failed."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlserve.errors import DeadlineExceeded, InferenceFailed, LoadError
from mlserve.inference.transformer import TransformFunction, load_transformer, transforming
from mlserve.inference.workers import Workers
from mlserve.types import Array, DType, InputField, Interface, Predict, Rows
from tests.support.deployments import X, as_lists, context, double, interface, rows
from tests.support.models import Gate

Inputs = Mapping[str, Any]
Outputs = Mapping[str, Any]
Wrap = Callable[..., Predict]


@pytest.fixture
async def wrap() -> Any:
    """Puts a function behind ``double``, with threads that are closed at the end."""
    workers = Workers("m's transformer", threads=1, max_queued_rows=100)

    def made(function: TransformFunction, face: Interface | None = None) -> Predict:
        return transforming(double, function, face or interface(outputs=None), "m", workers)

    yield made
    await workers.close()


def per_batch(function: TransformFunction) -> TransformFunction:
    function.per_batch = True  # type: ignore[attr-defined]  # how users mark it
    return function


class TestShapes:
    async def test_per_row_it_gets_plain_values(self, wrap: Wrap) -> None:
        """A user's function should need to know nothing of numpy."""
        seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

        def classify(inputs: Inputs, outputs: Outputs) -> dict[str, str]:
            seen.append((dict(inputs), dict(outputs)))
            return {"Class": "small" if outputs["y"] < 4 else "large"}

        answer = await wrap(classify)(rows(x=[1, 2]), context())
        assert as_lists(answer) == {"Class": ["small", "large"]}
        assert seen == [({"x": 1.0}, {"y": 2.0}), ({"x": 2.0}, {"y": 4.0})]
        assert type(seen[0][1]["y"]) is float

    async def test_per_batch_it_gets_columns_once(self, wrap: Wrap) -> None:
        """A call per row would undo what batching won."""
        calls: list[int] = []

        @per_batch
        def scale(inputs: Inputs, outputs: Outputs) -> dict[str, Array]:
            calls.append(len(outputs["y"]))
            return {"z": outputs["y"] + inputs["x"]}

        assert as_lists(await wrap(scale)(rows(x=[1, 2]), context())) == {"z": [3, 6]}
        assert calls == [2]

    async def test_per_batch_it_may_answer_lists(self, wrap: Wrap) -> None:
        """A list of lists is one list per row, not a matrix of another rank."""
        answer = await wrap(per_batch(lambda i, o: {"a": [[1], [2, 3]], "b": [0.5, 1.5]}))(rows(x=[1, 2]), context())
        assert as_lists(answer) == {"a": [[1], [2, 3]], "b": [0.5, 1.5]}
        assert answer.columns["b"].dtype == np.float64

    async def test_async_functions_are_awaited(self, wrap: Wrap) -> None:
        """They may ask another service."""

        async def later(inputs: Inputs, outputs: Outputs) -> dict[str, float]:
            await asyncio.sleep(0)
            return {"z": outputs["y"]}

        assert as_lists(await wrap(later)(rows(x=[1]), context())) == {"z": [2]}

    async def test_objects_with_an_async_call_are_awaited_too(self, wrap: Wrap) -> None:
        """Their coroutine would be taken for the answer."""

        class Later:
            async def __call__(self, inputs: Inputs, outputs: Outputs) -> dict[str, float]:
                return {"z": outputs["y"]}

        assert as_lists(await wrap(Later())(rows(x=[1]), context())) == {"z": [2]}

    async def test_values_keep_their_kind(self, wrap: Wrap) -> None:
        """Numbers become typed columns; integers of any size and nested values stay what they are."""

        def kinds(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
            return {"f": 0.5, "n": np.int8(3), "b": True, "i": 2**70, "l": [1, 2], "s": "a", "none": None}

        answer = await wrap(kinds)(rows(x=[1, 2]), context())
        assert {name: column.dtype.name for name, column in answer.columns.items()} == {
            "f": "float64", "n": "int8", "b": "bool", "i": "object", "l": "object", "s": "object", "none": "object",
        }  # fmt: skip
        assert answer.columns["l"].tolist() == [[1, 2], [1, 2]]
        assert answer.columns["i"].tolist() == [2**70, 2**70]


class TestWhatItSees:
    FACE = interface(
        X,
        InputField("hidden", DType.STRING, (), auxiliary=True),
        InputField("keyed", DType.STRING, (), auxiliary=True, wildcard=True),
        outputs=None,
    )

    @pytest.mark.parametrize("ask", [lambda i: i["hidden"], lambda i: i.get("hidden"), lambda i: "hidden" in i])
    @pytest.mark.parametrize("batch", [False, True])
    async def test_an_auxiliary_input_outside_the_key_is_refused_by_name(
        self, wrap: Wrap, ask: Callable[[Inputs], Any], batch: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The answer is cached under a key that does not hold it; ``get`` must not hide that."""

        def peek(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
            return {"z": ask(inputs)}

        predict = wrap(per_batch(peek) if batch else peek, self.FACE)
        with pytest.raises(InferenceFailed):
            await predict(rows(x=[1], hidden=["h"], keyed=["k"]), context())
        assert "auxiliary input 'hidden' is not in the cache key" in caplog.text
        assert "KeyFields" in caplog.text

    async def test_it_sees_the_inputs_that_are_in_the_key(self, wrap: Wrap) -> None:
        """And only those when it goes through all."""
        seen: list[tuple[list[str], int, str]] = []

        def look(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
            seen.append((list(inputs), len(inputs), inputs["keyed"]))
            return {"z": 0.0}

        await wrap(look, self.FACE)(rows(x=[1], hidden=["h"], keyed=["k"]), context())
        assert seen == [(["x", "keyed"], 2, "k")]

    async def test_an_unknown_input_is_a_key_error_that_lists_those_there(
        self, wrap: Wrap, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A misspelt name should be found from the log alone."""
        with pytest.raises(InferenceFailed):
            await wrap(lambda i, o: {"z": i["xx"]})(rows(x=[1]), context())
        assert "no input 'xx'; there are: x" in caplog.text
        assert as_lists(await wrap(lambda i, o: {"z": i.get("xx", 1.0)})(rows(x=[1]), context())) == {"z": [1.0]}


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([None, {"z": 1}], "expected a mapping of names to values for every row"),
        ([{"z": 1}, {"w": 1}], "row 1 has members ['w'], row 0 has ['z']"),
        ([{"z": 1}, {"z": 1, "w": 2}], "row 1 has members ['w', 'z'], row 0 has ['z']"),
    ],
)
async def test_wrong_answers_per_row(
    wrap: Wrap, caplog: pytest.LogCaptureFixture, answers: list[Any], complaint: str
) -> None:
    """A row would lack a member, or be no object; the log names row and members."""
    left: Iterator[Any] = iter(answers)
    with pytest.raises(InferenceFailed):
        await wrap(lambda i, o: next(left))(rows(x=[1, 2]), context())
    assert complaint in caplog.text


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ([1, 2], "expected a mapping of columns, got list"),
        ({"z": np.zeros(3)}, "column 'z' has shape [3], expected 2 rows"),
        ({"z": np.float64(1) * np.ones(())}, "object is not iterable"),
        ({"z": np.ones(())}, "column 'z' has shape [], expected 2 rows"),
        ({"z": [1.0]}, "column 'z' has shape [1], expected 2 rows"),
    ],
)
async def test_wrong_answers_per_batch(
    wrap: Wrap, caplog: pytest.LogCaptureFixture, answer: Any, complaint: str
) -> None:
    """Rows would get one another's values."""
    with pytest.raises(InferenceFailed):
        await wrap(per_batch(lambda i, o: answer))(rows(x=[1, 2]), context())
    assert complaint in caplog.text


@pytest.mark.parametrize("error", [ValueError("secret"), TimeoutError("secret"), StopIteration(), SystemExit(1)])
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_it_raises_is_an_incident_and_never_a_deadline(
    wrap: Wrap, caplog: pytest.LogCaptureFixture, error: BaseException, is_async: bool
) -> None:
    """A time-out of the user's own, retried as a 504, would hide a fault; an exit would end the server."""

    def fail(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
        raise error

    async def fail_later(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
        raise error

    with caplog.at_level(logging.ERROR), pytest.raises(InferenceFailed) as caught:
        await wrap(fail_later if is_async else fail)(rows(x=[1]), context())
    assert caught.value.incident in caplog.text
    assert "secret" not in str(caught.value)


class TestTime:
    async def test_a_slow_function_answers_at_the_deadline(self, wrap: Wrap) -> None:
        """Its thread cannot be stopped; its caller can be told."""
        with Gate() as gate:

            def slow(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
                gate.hold()
                return {"z": 0}

            with pytest.raises(DeadlineExceeded, match="transformer"):
                await wrap(slow)(rows(x=[1]), context(0.02))

    async def test_a_slow_async_function_is_cancelled_at_the_deadline(self, wrap: Wrap) -> None:
        """It would go on for nobody."""
        cancelled: list[bool] = []

        async def slow(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise
            return {}

        with pytest.raises(DeadlineExceeded, match="the transformer of m"):
            await wrap(slow)(rows(x=[1]), context(0.02))
        assert cancelled == [True]

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_caller_who_leaves_is_cancelled_and_nothing_else(self, wrap: Wrap, is_async: bool) -> None:
        """A cancellation turned into an error would be answered to nobody."""
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        with Gate() as gate:

            def slow(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
                loop.call_soon_threadsafe(arrived.set)
                gate.hold()
                return {"z": 0}

            async def slow_later(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
                arrived.set()
                await asyncio.Event().wait()
                return {}

            task = asyncio.ensure_future(wrap(slow_later if is_async else slow)(rows(x=[1]), context()))
            await arrived.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    async def test_hung_functions_leave_the_loop_s_own_threads_alone(self, wrap: Wrap) -> None:
        """Loading, closing and everything else that leaves the loop shares those."""
        with Gate() as gate:

            def hang(inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
                gate.hold()
                return {"z": 0}

            predict = wrap(hang)
            for _ in range(40):
                with pytest.raises(DeadlineExceeded):
                    await predict(rows(x=[1]), context(0.001))
            assert await asyncio.to_thread(lambda: "free") == "free"


class TestLoading:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "rules.py"

    def test_from_a_file(self, file: Path) -> None:
        """Named by its copy, not by where it came from."""
        file.write_text("def classify(inputs, outputs):\n    return {'z': 1}\n", encoding="utf-8")
        assert load_transformer("elsewhere/rules.py:classify", file)({}, {}) == {"z": 1}

    def test_from_an_installed_module(self) -> None:
        """As any import."""
        import operator

        assert load_transformer("operator:add", None) is operator.add

    def test_two_versions_of_a_file_are_two_modules(self, file: Path) -> None:
        """The old version serves on while the new one loads; neither may see the other's state."""
        file.write_text(
            "n = []\ndef f(inputs, outputs):\n    n.append(1)\n    return {'n': len(n)}\n", encoding="utf-8"
        )
        old, new = load_transformer("rules.py:f", file), load_transformer("rules.py:f", file)
        assert [old({}, {}), old({}, {}), new({}, {})] == [{"n": 1}, {"n": 2}, {"n": 1}]

    def test_a_file_with_dataclasses(self, file: Path) -> None:
        """They look their own module up by name while it is run."""
        text = (
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "@dataclass\n"
            "class A:\n"
            "    n: int = 1\n"
            "def f(inputs, outputs):\n"
            "    return {'n': A().n}\n"
        )
        file.write_text(text, encoding="utf-8")
        modules = set(sys.modules)
        assert load_transformer("rules.py:f", file)({}, {}) == {"n": 1}
        assert set(sys.modules) == modules

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("import nowhere_to_be_found", "cannot be imported: ModuleNotFoundError"),
            ("def f(:", "cannot be imported: SyntaxError"),
            ("raise SystemExit(2)", "cannot be imported: SystemExit"),
            ("import math\nmath.nothing", "cannot be imported: AttributeError: .*'nothing'"),
            ("g = 1", "there is no 'f' in it"),
            ("f = 1", "is int, expected a function"),
        ],
    )
    def test_what_cannot_be_used_is_a_load_error_that_says_why(self, file: Path, text: str, complaint: str) -> None:
        """The version before it goes on serving, and its author reads this."""
        file.write_text(text, encoding="utf-8")
        with pytest.raises(
            LoadError, match=f"^Transformer rules.py:f .*{complaint}|^Transformer rules.py:f: {complaint}"
        ):
            load_transformer("rules.py:f", file)

    def test_a_module_that_is_not_there(self) -> None:
        """The text names what was asked for."""
        with pytest.raises(LoadError, match="nowhere_to_be_found:f cannot be imported"):
            load_transformer("nowhere_to_be_found:f", None)

    def test_a_file_that_is_no_python(self, tmp_path: Path) -> None:
        """Its name decides; the error says so."""
        file = tmp_path / "rules.txt"
        file.write_text("", encoding="utf-8")
        with pytest.raises(LoadError, match="is not a Python file"):
            load_transformer("rules.txt:f", file)


async def test_answers_of_rows_keep_their_count(wrap: Wrap) -> None:
    """An empty remainder has no first row to ask for its members."""
    answer = await wrap(lambda i, o: {"z": 1.0})(Rows({"x": np.zeros(0, np.float32)}, 0), context())
    assert answer.count == 0
