"""CSV means what a GET of the same values means, whatever stands in its cells."""

from __future__ import annotations

import csv
import io
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.commands.csv_rows import CsvRows
from mlserve.errors import SetupError

CELL = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8)


def rows_of(text: str, *inputs: str) -> CsvRows:
    return CsvRows(enumerate(io.StringIO(text, newline="\n"), 1), inputs)


def read(text: str, *inputs: str) -> list[tuple[int, dict[str, str] | str]]:
    """The line of each row with its values, or its problem."""
    return [
        (row.line, row.problem if row.request is None else dict(parse_qsl(row.request.query)))
        for row in rows_of(text, *inputs)
    ]


@given(st.lists(st.tuples(CELL, CELL), max_size=5))
def test_cells_arrive_as_they_were_written(cells: list[tuple[str, str]]) -> None:
    """Commas, quotes, line breaks, percent signs and all; empty ones are left out, so that a Default counts."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *cells])
    found = [values for _, values in read(text.getvalue(), "a", "b")]
    assert found == [{name: cell for name, cell in zip("ab", row, strict=True) if cell} for row in cells]


def test_rows_are_told_by_the_line_they_begin_on() -> None:
    """A person looks there; blank lines, and those within quotes, count too."""
    assert read('a,b\n\n1,2\n"x\n\ny",3\n4,5', "a", "b") == [
        (3, {"a": "1", "b": "2"}),
        (4, {"a": "x\n\ny", "b": "3"}),
        (7, {"a": "4", "b": "5"}),
    ]


def test_columns_that_are_no_inputs_are_left_out() -> None:
    """An export has more than the model takes; a model with defaults would refuse what it does not know."""
    rows = rows_of("id,b,label,a\n7,1,x,2\n", "a", "b")
    assert rows.left_out == ["id", "label"]
    (row,) = rows
    assert row.request is not None
    assert row.request.query == "b=1&a=2"


def test_a_broken_row_is_told_and_the_next_is_read() -> None:
    """One slip would cost all that follows."""
    latin = b"1,\xe9\n".decode("utf-8", "surrogateescape")
    assert read(f'a,b\n1\n1,2,3\n"1"x,2\n{latin}5,6\n"7,8', "a", "b") == [
        (2, "1 cells, expected 2 as in the header"),
        (3, "3 cells, expected 2 as in the header"),
        (4, "not CSV: ',' expected after '\"'"),
        (5, "not UTF-8"),
        (6, {"a": "5", "b": "6"}),
        (7, "not CSV: unexpected end of data"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\n1;2\n", "separated by commas, that names inputs of the model (a, b); it begins with 'a;b'"),
        ("x,y\n", "it begins with 'x,y'"),
        ("a,b,a\n", "two columns are called 'a'"),
        ('"a,b\n', "its header is not CSV"),
    ],
)
def test_a_header_of_no_use_is_told(text: str, words: str) -> None:
    """Else every single row would be refused, for a reason that is not the row's."""
    with pytest.raises(SetupError) as caught:
        rows_of(text, "a", "b")
    assert words in str(caught.value)
