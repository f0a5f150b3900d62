"""``docs/caching.md`` has the numbers, ops and words of the code: operators and readers count on them."""

from __future__ import annotations

import re

from mlserve.backends.onnx_movers import MOVERS
from mlserve.cache.connection import FAILURES, FIRST_RETRY_S, LONGEST_RETRY_S
from mlserve.cache.key import MAX_ELEMENTS
from mlserve.cache.native import NativeLayout
from mlserve.cache.writes import MAX_BYTES, MAX_ENTRIES
from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES, StoreOptions
from mlserve.types import UNKNOWN_NUMBER, UNKNOWN_WORD, Rows
from tests.support.markdown import ROOT, code, prose, rows_of

PAGE = ROOT / "docs" / "caching.md"
TEXT = " ".join(prose(PAGE).split())


def test_times_and_bounds_are_those_of_the_code() -> None:
    """Somebody plans for a bad day by a number that was changed since."""
    ordinal = {3: "third"}[FAILURES]
    assert f"**The {ordinal} failure in a row**" in TEXT
    assert f"tries it after {FIRST_RETRY_S} s, {2 * FIRST_RETRY_S} s … up to every {LONGEST_RETRY_S:.0f} s" in TEXT
    assert f"**A read** waits {1000 * StoreOptions('redis://h').read_timeout_s:.0f} ms at most" in TEXT
    assert f"up to {MAX_ENTRIES:,} entries or {MAX_BYTES >> 20} MiB for each tier" in TEXT
    assert f"A name of more than {MAX_NAME_BYTES} bytes" in TEXT
    assert f"Answers of more than {MAX_VALUE_BYTES >> 20} MiB stay in memory" in TEXT
    assert f"those of more than {MAX_ELEMENTS} as a digest" in TEXT
    assert f"become `{UNKNOWN_WORD}` (integers: `{UNKNOWN_NUMBER}`)" in TEXT


def test_entries_have_the_name_that_is_shown() -> None:
    """Whoever looks with redis-cli would find nothing."""
    (shown,) = set(re.findall(r"mlserve:([0-9a-f]{32}):(\S+)", PAGE.read_text(encoding="utf-8")))
    generation, key = shown
    (name,) = NativeLayout().names([bytes.fromhex(generation) + key.encode()], Rows({}, 1))
    assert name == f"mlserve:{generation}:{key}".encode()


def test_every_op_that_moves_values_is_told() -> None:
    """An input folds, or does not, against what the page says."""
    rows = [code(ops) for ops, (folds, _) in rows_of(PAGE, "ONNX op").items() if folds == "as what follows"]
    assert rows == [sorted({op for _, op in MOVERS})]


def test_every_state_that_explain_tells_has_a_row() -> None:
    """Somebody asks why a row is a miss, and gets a word that nothing explains."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "mlserve" / "cache").glob("*.py"))
    told = {*re.findall(r'"state": "(\w+)"', sources), *re.findall(r'return None, "(\w+)"', sources), "hit", "expired"}
    assert {name for states in rows_of(PAGE, "`state`") for name in code(states)} == told
