"""A model of a few kilobytes would be shown as 0.0 MB, and an operator think that it is empty, if these failed."""

from __future__ import annotations

import pytest

from mlserve.observe.sizes import size_words


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1784, "1.8 kB"),
        (99_940, "99.9 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_500_000, "1.5 MB"),
        (16 * 1024**3, "17.2 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_a_size_has_two_or_three_digits_that_matter(size_bytes: int, words: str) -> None:
    """And the unit that goes with them, at the limits too."""
    assert size_words(size_bytes) == words
