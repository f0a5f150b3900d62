"""Codes of Aerospike in words."""

from __future__ import annotations

import pytest

from mlserve.contracts.store import StoreFault, StoreRefused
from mlserve.stores.aerospike_faults import fault


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (8, "out of space"),
        (13, "max-record-size"),
        (18, "overloaded"),
        (22, "nsup-period above 0"),
        (20, "namespace"),
        (-10, "connection failed"),
        (999, "Aerospike failed"),
    ],
)
def test_words_and_code(code: int, words: str) -> None:
    """The words for whoever reads the log, the code for whoever searches for it."""
    text = str(fault(code, "what it said"))
    assert words in text
    assert text.endswith(f"(code {code}: what it said)")


def test_an_error_without_a_code() -> None:
    """Exceptions of the client begin without one."""
    assert str(fault(None)) == "Aerospike failed (code 1)"


@pytest.mark.parametrize(("code", "refused"), [(8, True), (13, True), (22, True), (9, False), (20, False), (-8, False)])
def test_only_writes_are_refused(code: int, refused: bool) -> None:
    """A refusal has the chain drop what it would write; of a read it says nothing."""
    assert type(fault(code, writing=True)) is (StoreRefused if refused else StoreFault)
    assert type(fault(code)) is StoreFault
