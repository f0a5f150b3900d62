"""Rows would reach the model in the wrong shape, or its answers the wrong row, if these failed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.inference.feed import Feed, Misaligned
from mlserve.types import Array, DType, Rows, Serving, Shape
from tests.support.models import signature

F32, TEXT, JSON = DType.FLOAT32, DType.STRING, DType.JSON


def feed(
    serving: Serving,
    inputs: dict[str, tuple[DType, Shape | None]],
    outputs: dict[str, tuple[DType, Shape | None]] | None = None,
) -> Feed:
    return Feed(signature(inputs, outputs), serving)


def texts(*values: str) -> Array:
    column = np.empty(len(values), object)
    column[:] = values
    return column


class TestByRows:
    def test_all_rows_go_in_one_run(self) -> None:
        """Splitting a batch would cost a run per row."""
        made = feed(Serving.ROWS, {"x": (F32, (None,)), "v": (F32, (None, 2))})
        columns = {"x": np.arange(3, dtype=np.float32), "v": np.ones((3, 2), np.float32)}
        (run,) = made.tensors(Rows(columns, 3))
        assert {name: tensor.shape for name, tensor in run.items()} == {"x": (3,), "v": (3, 2)}

    def test_scalars_fill_a_column_where_the_model_declares_one(self) -> None:
        """``[-1,1]`` counts as rank 0 for callers; the runtime wants the second axis."""
        (run,) = feed(Serving.ROWS, {"x": (F32, (None, 1))}).tensors(Rows({"x": np.arange(3, dtype=np.float32)}, 3))
        assert run["x"].tolist() == [[0], [1], [2]]

    def test_auxiliary_columns_stay_out(self) -> None:
        """A runtime refuses an input that it does not know."""
        columns = {"aux": texts("a"), "x": np.zeros(1, np.float32)}
        (run,) = feed(Serving.ROWS, {"x": (F32, (None,))}).tensors(Rows(columns, 1))
        assert list(run) == ["x"]

    @pytest.mark.parametrize("shape", [(None,), (None, 1)])
    def test_columns_that_are_not_contiguous_keep_their_values(self, shape: Shape) -> None:
        """A view with strides would be read as if it had none."""
        column = np.arange(8, dtype=np.float32)[::-2]
        (run,) = feed(Serving.ROWS, {"x": (F32, shape)}).tensors(Rows({"x": column}, 4))
        assert run["x"].ravel().tolist() == [7, 5, 3, 1]

    def test_values_of_any_kind_come_back_as_they_are(self) -> None:
        """A classifier's maps are one value per row, not something to stack."""
        labels = np.empty(2, object)
        labels[:] = [{"a": 0.5}, {"a": 0.25}]
        answer = feed(Serving.ROWS, {"x": (F32, (None,))}, {"p": (JSON, (None,))}).rows([{"p": labels}], 2)
        assert answer.columns["p"].tolist() == [{"a": 0.5}, {"a": 0.25}]

    @pytest.mark.parametrize("output", [np.float32(1), np.zeros(1), np.zeros((3, 2)), np.zeros((1, 2))])
    def test_an_output_that_does_not_count_the_rows_is_misaligned(self, output: Array) -> None:
        """Rows would get one another's answers."""
        made = feed(Serving.ROWS, {"x": (F32, (None,))})
        with pytest.raises(Misaligned, match=r"output 'y' has shape \[.*\] for 2 rows"):
            made.rows([{"y": np.asarray(output)}], 2)


class TestOneByOne:
    def test_each_row_is_a_run(self) -> None:
        """A model exported for one row refuses two."""
        made = feed(Serving.ONE, {"x": (F32, (1, 2)), "s": (TEXT, (1, 1))})
        columns = {"x": np.arange(4, dtype=np.float32).reshape(2, 2), "s": texts("a", "b")}
        runs = list(made.tensors(Rows(columns, 2)))
        assert [run["x"].tolist() for run in runs] == [[[0, 1]], [[2, 3]]]
        assert [run["s"].tolist() for run in runs] == [[["a"]], [["b"]]]

    def test_answers_are_joined_in_order(self) -> None:
        """The order of rows is the caller's."""
        made = feed(Serving.ONE, {"x": (F32, (1,))})
        answer = made.rows([{"y": np.asarray([float(n)], np.float32)} for n in range(3)], 3)
        assert answer.columns["y"].tolist() == [0, 1, 2]
        assert answer.columns["y"].dtype == np.float32

    def test_one_run_that_answers_two_rows_is_misaligned(self) -> None:
        """The joined column would be longer than the request."""
        with pytest.raises(Misaligned, match=r"for 1 row$"):
            feed(Serving.ONE, {"x": (F32, (1,))}).rows([{"y": np.zeros(1)}, {"y": np.zeros(2)}], 2)


class TestWhole:
    @pytest.mark.parametrize("shape", [(8, 2), (None, None), None])
    def test_the_tensor_is_what_the_caller_sent(self, shape: Shape | None) -> None:
        """A row more or an axis more would be another question, of unknown rank too."""
        (run,) = feed(Serving.WHOLE, {"x": (F32, shape)}).tensors(Rows({"x": np.ones((1, 8, 2), np.float32)}, 1))
        assert run["x"].shape == (8, 2)

    @pytest.mark.parametrize("column", [np.ones(1, np.float32), texts("žluť")])
    def test_a_scalar_is_an_array_of_rank_0_in_its_own_dtype(self, column: Array) -> None:
        """A string taken out of its array would come back as a fixed-width one, which no backend takes."""
        (run,) = feed(Serving.WHOLE, {"x": (F32, ())}).tensors(Rows({"x": column}, 1))
        assert isinstance(run["x"], np.ndarray)
        assert (run["x"].shape, run["x"].dtype, run["x"].item()) == ((), column.dtype, column[0])

    @pytest.mark.parametrize("output", [np.float32(3), np.zeros(5), np.zeros((2, 3))])
    def test_outputs_of_any_shape_are_the_one_row(self, output: Array) -> None:
        """There is nothing to line up with."""
        tensor = np.asarray(output)
        answer = feed(Serving.WHOLE, {"x": (F32, ())}).rows([{"y": tensor}], 1)
        assert answer.columns["y"].shape == (1, *tensor.shape)

    def test_several_whole_requests_are_several_runs(self) -> None:
        """One run would mix what belongs to two requests."""
        made = feed(Serving.WHOLE, {"x": (F32, (2,))})
        runs = list(made.tensors(Rows({"x": np.arange(4, dtype=np.float32).reshape(2, 2)}, 2)))
        assert [run["x"].tolist() for run in runs] == [[0, 1], [2, 3]]
        assert made.rows([{"y": run["x"]} for run in runs], 2).columns["y"].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("serving", Serving)
def test_no_rows_need_no_run_and_give_typed_empty_columns(serving: Serving) -> None:
    """An empty remainder, such as when all rows were hits, would crash what joins the columns."""
    made = feed(serving, {"x": (F32, (None,))}, {"y": (DType.INT64, (None, 3)), "s": (TEXT, None)})
    assert list(made.tensors(Rows({"x": np.zeros(0, np.float32)}, 0))) == []
    answer = made.rows([], 0)
    assert answer.count == 0
    assert {name: len(column) for name, column in answer.columns.items()} == {"y": 0, "s": 0}
    assert answer.columns["y"].dtype == np.int64
    assert answer.columns["y"].shape[-1] == 3


@given(st.integers(1, 9), st.sampled_from([Serving.ROWS, Serving.ONE]), st.booleans())
def test_feeding_and_collecting_are_inverse(count: int, serving: Serving, column: bool) -> None:
    """A model that answers what it was asked gives every row its own value, however rows are served."""
    first = None if serving is Serving.ROWS else 1
    shape = (first, 1) if column else (first,)
    made = feed(serving, {"y": (F32, shape)}, {"y": (F32, shape)})
    values = np.arange(count, dtype=np.float32)
    answer = made.rows(list(made.tensors(Rows({"y": values}, count))), count)
    assert answer.columns["y"].ravel().tolist() == values.tolist()
