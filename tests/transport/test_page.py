"""Somebody's words would run as markup in an operator's browser, or a secret be shown there, if these failed."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from mlserve.serving.manager import Status
from mlserve.transport.page import index_page
from mlserve.types import DType, InputField
from tests.support.deployments import deployment, interface

HOSTILE = "<script>alert('x')</script>\"&{0}{rows}%s"


class Reader(HTMLParser):
    """Collects tags and the text of the cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data.strip() if data.isspace() else data


PLAIN_TAGS = set(Reader(index_page([])).tags)


@given(st.text(), st.text())
def test_ids_and_errors_are_text_and_never_markup(model_id: str, error: str) -> None:
    """Whatever they hold, the page has the tags it always has."""
    reader = Reader(index_page([Status(model_id + HOSTILE, None, error + HOSTILE, True)]))
    assert set(reader.tags) <= PLAIN_TAGS | {"td", "code"}
    assert any(HOSTILE in cell for cell in reader.cells)


async def test_inputs_and_generation_are_text_too() -> None:
    """Names of tensors come out of files."""
    face = interface(InputField(f"{HOSTILE}", DType.FLOAT32, ()))
    made = deployment(face=face, generation="<b>" * 20)
    reader = Reader(index_page([Status("m", made, f"old {HOSTILE}", True)]))
    assert set(reader.tags) <= PLAIN_TAGS | {"td", "code"}
    assert f"{HOSTILE} (float32)" in reader.cells
    assert any(cell.startswith("serving; last load failed: old") for cell in reader.cells)


async def test_what_an_operator_wants_to_know() -> None:
    """Which models, how they are, which generation."""
    made = deployment(model_id="good", generation="abcdef0123456789")
    cells = Reader(index_page([Status("good", made, None, True), Status("new", None, None, True)])).cells
    assert cells[-8:-4] == ["good", "serving", "x (float32)", "abcdef012345"]
    assert cells[-4:-2] == ["new", "loading"]


def test_secrets_in_errors_are_hidden() -> None:
    """A store's error quotes the URL that it could not open."""
    assert "pa55" not in index_page([Status("m", None, "cannot open s3://u:pa55@bucket/m", True)])
