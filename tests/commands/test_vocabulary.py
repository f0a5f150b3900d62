"""Operators would take one dictionary for another if these failed."""

from __future__ import annotations

import pytest

from mlserve.commands.vocabulary import first_words, size_of
from mlserve.types import Lookups
from tests.support.vocabularies import numbers, words


@pytest.mark.parametrize(
    ("lookups", "size", "first"),
    [
        (None, "", ""),
        (Lookups("exact: MatMul reads it"), "", ""),
        (Lookups("", words()), "0 words", "0 words"),
        (Lookups("", words("a")), "1 word", "1 word: 'a'"),
        (Lookups("", words("us", "de", "", "[UNK]")), "4 words", "4 words: '', '[UNK]', 'de', 'us'"),
        (Lookups("", words(*"fedcba")), "6 words", "6 words: 'a', 'b', 'c', 'd', 'e', …"),
        (Lookups("", numbers(10, 9, -1)), "3 numbers", "3 numbers: -1, 9, 10"),
        (
            Lookups("", columns={7: numbers(5), 0: numbers(1, 2)}),
            "3 numbers in 2 columns",
            "column 0: 2 numbers: 1, 2\ncolumn 7: 1 number: 5",
        ),
        (Lookups("", columns={1: words("a")}), "1 word in 1 column", "column 1: 1 word: 'a'"),
    ],
)
def test_sizes_and_first_words(lookups: Lookups | None, size: str, first: str) -> None:
    """In the order a person would look for them."""
    assert (size_of(lookups), first_words(lookups)) == (size, first)


def test_much_is_shortened() -> None:
    """A vocabulary of a million words, long words, control characters, many columns: still a line each."""
    assert size_of(Lookups("", numbers(*range(12_345)))) == "12,345 numbers"
    assert first_words(Lookups("", words("x" * 99, "\x1b[31m", "\udcff"))) == (
        f"3 words: '\\x1b[31m', '{'x' * 40}'…, '\\udcff'"
    )
    lines = first_words(Lookups("", columns=dict.fromkeys(range(9), words("a")))).splitlines()
    assert lines[4:] == ["column 4: 1 word: 'a'", "and 4 more"]
