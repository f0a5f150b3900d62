"""Every room speaks in these values: rows would be mixed up, or dtypes misread, if these failed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.types import MISSING, DType, InputField, Interface, Rows, Serving, TensorSpec


class TestDType:
    @pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype not in (DType.STRING, DType.JSON)])
    def test_names_are_numpy_s(self, dtype: DType) -> None:
        """Users and the Open Inference Protocol spell them so."""
        assert dtype.numpy.name == dtype.value

    @pytest.mark.parametrize("dtype", [DType.STRING, DType.JSON])
    def test_text_and_plain_values_are_objects(self, dtype: DType) -> None:
        """Fixed-width strings would cut them."""
        assert dtype.numpy == np.dtype(object)

    @pytest.mark.parametrize("dtype", DType)
    def test_kinds_exclude_one_another_and_agree_with_numpy(self, dtype: DType) -> None:
        """A dtype of two kinds would be read by the rules of the first that is asked."""
        kinds = [dtype.is_float, dtype.is_integer, dtype.is_complex]
        assert sum(kinds) == (0 if dtype in (DType.BOOL, DType.STRING, DType.JSON) else 1)
        if dtype is not DType.BFLOAT16:  # numpy does not know what it is
            assert dtype.is_float == (dtype.numpy.kind == "f")
        assert dtype.is_integer == (dtype.numpy.kind in "iu")
        assert dtype.is_complex == (dtype.numpy.kind == "c")


@pytest.mark.parametrize(
    ("shape", "text"), [((None, 3), "x: float32[-1,3]"), ((), "x: float32[]"), (None, "x: float32[?]")]
)
def test_a_tensor_is_shown_as_runtimes_show_it(shape: tuple[int | None, ...] | None, text: str) -> None:
    """Errors and ``inspect`` print it."""
    assert str(TensorSpec("x", DType.FLOAT32, shape)) == text


class TestRows:
    ROWS = Rows({"a": np.arange(5), "b": np.arange(10).reshape(5, 2)}, 5)

    @given(st.lists(st.integers(0, 4)))
    def test_taken_rows_are_those_asked_for_in_that_order(self, indices: list[int]) -> None:
        """Repeated ones too: hits and misses are sorted out by this."""
        taken = self.ROWS.take(np.asarray(indices, int))  # type: ignore[arg-type]  # any sequence of indices
        assert taken.count == len(indices)
        assert taken.columns["a"].tolist() == indices
        assert taken.columns["b"].tolist() == [[2 * i, 2 * i + 1] for i in indices]

    @given(st.slices(5))
    def test_slices_count_what_they_take(self, piece: slice) -> None:
        """A count that differs from the columns would cut or invent rows."""
        taken = self.ROWS.take(piece)
        assert taken.count == len(taken.columns["a"])
        assert taken.columns["a"].tolist() == list(range(5))[piece]

    def test_slices_are_views(self) -> None:
        """Cutting a batch into pieces must not copy it."""
        assert np.shares_memory(self.ROWS.take(slice(1, 3)).columns["b"], self.ROWS.columns["b"])


def test_no_default_is_neither_none_nor_nan() -> None:
    """Both are values that one may want."""
    assert not InputField("x", DType.FLOAT32, ()).has_default
    assert InputField("x", DType.FLOAT32, (), default=None).has_default
    assert InputField("x", DType.FLOAT32, (), default=float("nan")).has_default
    assert repr(MISSING) == "MISSING"


def test_an_interface_finds_its_inputs_by_name_and_compares_by_value() -> None:
    """Two loads of one model are the same to callers."""
    fields = (InputField("a", DType.INT64, ()), InputField("b", DType.STRING, (2,)))
    one, other = Interface(fields, (), Serving.ROWS), Interface(fields, (), Serving.ROWS)
    assert list(one.by_name) == ["a", "b"]
    assert one.by_name["b"] is fields[1]
    assert one == other
    assert one != Interface(fields, (), Serving.ROWS, dict_hash=1)


def test_what_an_interface_makes_of_itself_is_made_once() -> None:
    """Codecs ask for their tables at every request."""
    made: list[Interface] = []

    def names(face: Interface) -> list[str]:
        made.append(face)
        return list(face.by_name)

    one, other = (Interface((InputField(name, DType.INT64, ()),), (), Serving.ROWS) for name in ("a", "b"))
    assert one.derived(names) is one.derived(names)
    assert (one.derived(names), other.derived(names)) == (["a"], ["b"])
    assert made == [one, other]
