"""The cache would be asked with rows that the model never sees if these failed."""

from __future__ import annotations

from mlserve.inference.canonical import canonical
from mlserve.types import Context, DType, InputField, Lookups, Rows
from tests.support.deployments import double, interface, rows
from tests.support.vocabularies import words


async def test_what_lies_behind_sees_canonical_rows_and_the_caller_s_context() -> None:
    """Rounded and folded; the answer comes back as it is."""
    seen: list[tuple[Rows, Context]] = []

    async def predict(asked: Rows, context: Context) -> Rows:
        seen.append((asked, context))
        return await double(asked, context)

    face = interface(
        InputField("x", DType.FLOAT32, (), precision=1),
        InputField("s", DType.STRING, (), lookups=Lookups("looked up", words("a"))),
    )
    context = Context(deadline=0.0)
    answer = await canonical(predict, face)(rows(x=[1.04], s=["b"]), context)
    ((asked, given),) = seen
    assert given is context
    assert asked.columns["s"].tolist() == ["[UNK]"]
    assert answer.columns["y"].tolist() == [2.0]


def test_where_every_row_is_canonical_nothing_stands_in_between() -> None:
    """It costs nothing where nobody asked for it."""
    exact = InputField("s", DType.STRING, (), lookups=Lookups("exact: StringSplit reads it"))
    assert canonical(double, interface(exact)) is double
