"""A caller who must have a fresh answer would get a stored one, if these failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport.cache_control import cache_use
from mlserve.types import CacheUse


@pytest.mark.parametrize(
    ("header", "use"),
    [
        (None, CacheUse.NORMAL),
        ("", CacheUse.NORMAL),
        ("no-store", CacheUse.NO_STORE),
        ("no-cache", CacheUse.NO_CACHE),
        ("only-if-cached", CacheUse.ONLY_IF_CACHED),
        ("No-Cache", CacheUse.NO_CACHE),
        (" no-cache ,\tmax-age=0", CacheUse.NO_CACHE),
        ("no-cache, no-store", CacheUse.NO_STORE),
        ("only-if-cached, no-cache", CacheUse.NO_CACHE),
        ('no-cache="x"', CacheUse.NO_CACHE),
        ("max-age=0", CacheUse.NORMAL),
        ("max-stale=60, min-fresh=1, no-transform", CacheUse.NORMAL),
        ("no-cachex", CacheUse.NORMAL),
        ("no cache", CacheUse.NORMAL),
        ('x="no-store"', CacheUse.NORMAL),
        (",,", CacheUse.NORMAL),
    ],
)
def test_what_a_header_asks_for(header: str | None, use: CacheUse) -> None:
    """Of several directives the one that trusts the cache least; those that mean nothing here are ignored."""
    assert cache_use(header) is use


@given(st.text())
def test_any_header_is_read(header: str) -> None:
    """It comes from strangers: an error here would be a 500."""
    assert cache_use(header) in CacheUse
