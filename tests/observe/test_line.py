"""A state would take many lines, or show a secret, if these failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlserve.observe.line import one_line


@given(st.text())
def test_there_is_one_line(text: str) -> None:
    """Whatever a line break is made of."""
    assert len(one_line(f"a{text}b").splitlines()) == 1


def test_words_stay_and_secrets_go() -> None:
    """Indentation and line breaks become single spaces."""
    assert one_line("cannot open\n   s3://u:pa55@b/m:\n\t403") == "cannot open s3://***@b/m: 403"
