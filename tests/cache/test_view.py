"""Operators would be told of another key than the one in use, or a swap be cold, if these failed."""

from __future__ import annotations

from time import monotonic
from typing import Any, cast

import numpy as np
import orjson

from mlserve.cache.chain import CacheChain
from mlserve.cache.mly import MlyLayout
from mlserve.cache.native import NativeLayout
from mlserve.cache.outer import NO_TIERS, OuterTiers, TierUse
from mlserve.cache.view import View
from mlserve.stores.memory import MemoryStore
from mlserve.types import DType, InputField, Interface, Lookups, Rows
from tests.support.chained import GENERATION
from tests.support.deployments import context, double, interface, rows
from tests.support.vocabularies import words

X = InputField("x", DType.FLOAT32, ())
MANY = interface(
    InputField("p", DType.FLOAT32, (), precision=2),
    InputField("s", DType.STRING, ()),
    InputField("v", DType.INT64, (2,)),
    InputField("aux", DType.INT64, (), auxiliary=True),
    InputField("seen", DType.INT64, (), auxiliary=True, wildcard=True),
)
ROW = Rows(
    {
        "p": np.asarray([1.25], np.float32),
        "s": np.asarray(["a/b"], object),
        "v": np.asarray([[1, 2]]),
        "aux": np.asarray([5]),
        "seen": np.asarray([6]),
    },
    1,
)


class Viewed:
    """A chain over ``double``, and its view."""

    def __init__(self, face: Interface | None = None, generation: str = GENERATION) -> None:
        face = face or interface()
        self.now = 1000.0
        self.memory = MemoryStore(1 << 20, clock=lambda: self.now)
        self.chain = CacheChain(double, interface=face, generation=generation, memory=self.memory, ttl_s=100)
        self.view = View(face, self.chain, self.memory, NO_TIERS, None)


async def test_explain_shows_the_key_that_the_chain_uses() -> None:
    """Segment by segment, with the rule that made each."""
    viewed = Viewed(MANY)
    (document,) = await viewed.view.explain(ROW, monotonic() + 1)
    shown = orjson.loads(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
    assert shown == {
        "key": "1.25/a%2Fb/[2][1,2]//6",
        "segments": [
            {"input": "p", "value": 1.25, "segment": "1.25", "rule": "rounded to 2 decimals, as the model sees it"},
            {"input": "s", "value": "a/b", "segment": "a%2Fb", "rule": "the exact value"},
            {
                "input": "v",
                "value": [1, 2],
                "segment": "[2][1,2]",
                "rule": "the exact values",
            },
            {
                "input": "aux",
                "value": 5,
                "segment": "",
                "rule": "not in the key: an auxiliary input that KeyFields does not name",
            },
            {"input": "seen", "value": 6, "segment": "6", "rule": "the exact value"},
        ],
        "tiers": {"memory": {"state": "miss"}},
    }
    assert viewed.chain.keys(ROW)[0].endswith(b"1.25/a%2Fb/[2][1,2]//6")


async def test_explain_shows_what_memory_holds_and_touches_nothing() -> None:
    """To look is not to use."""
    viewed = Viewed()
    await viewed.chain(rows(x=[1, 2]), context())
    before = list(viewed.memory.newest(viewed.chain.prefix, 2))
    (hit, miss) = await viewed.view.explain(rows(x=[1, 3]), monotonic() + 1)
    state = hit["tiers"]["memory"]  # type: ignore[index]
    assert state["state"] == "hit"
    assert 90 <= state["ttl_s"] <= 100
    assert state["bytes"] > 0
    assert miss["tiers"] == {"memory": {"state": "miss"}}
    assert list(viewed.memory.newest(viewed.chain.prefix, 2)) == before
    viewed.now += 200
    (old,) = await viewed.view.explain(rows(x=[1]), monotonic() + 1)
    assert old["tiers"]["memory"]["state"] == "expired"  # type: ignore[index]
    assert old["tiers"]["memory"]["ttl_s"] < 0  # type: ignore[index]


async def test_a_version_that_is_not_cached_says_why_and_does_nothing() -> None:
    """It has no chain and no memory."""
    view = View(interface(), None, None, NO_TIERS, "UseDict is false")
    assert view.not_cached == "UseDict is false"
    (document,) = await view.explain(rows(x=[1.5]), monotonic() + 1)
    assert document["key"] == "1.5"
    assert document["tiers"] == {"memory": {"state": "off", "reason": "UseDict is false"}}
    view.record(b"r", b"k", b"h", b"t")
    assert view.recall(b"r") is None
    assert list(view.hot_keys(10)) == []


async def test_hot_rows_are_those_used_last_of_this_version_alone() -> None:
    """Two models share one datastore."""
    viewed = Viewed()
    other = CacheChain(double, interface=interface(), generation="f" * 64, memory=viewed.memory, ttl_s=100)
    await viewed.chain(rows(x=[1, 2, 3]), context())
    await other(rows(x=[7, 8]), context())
    await viewed.chain(rows(x=[2]), context())
    assert list(viewed.view.hot_keys(10)) == ["2.0", "3.0", "1.0"]
    assert list(viewed.view.hot_keys(1)) == ["2.0"]
    hot = viewed.view.rows_of(viewed.view.hot_keys(10))
    assert hot is not None
    assert hot.columns["x"].tolist() == [2, 3, 1]


async def test_keys_of_any_text_come_back() -> None:
    """Also of bytes that are not UTF-8."""
    viewed = Viewed(interface(X, InputField("s", DType.STRING, ())))
    asked = rows(x=[1], s=["\udcff/%é"])
    await viewed.chain(asked, context())
    hot = viewed.view.rows_of(viewed.view.hot_keys(10))
    assert hot is not None
    assert hot.columns["s"].tolist() == ["\udcff/%é"]


def test_nothing_hot_is_no_rows() -> None:
    """A version that nobody has asked yet."""
    viewed = Viewed()
    assert viewed.view.rows_of(viewed.view.hot_keys(10)) is None


async def test_what_is_recorded_is_recalled() -> None:
    """While its row is there."""
    viewed = Viewed()
    asked = rows(x=[1])
    await viewed.chain(asked, context())
    viewed.view.record(b"r", viewed.chain.keys(asked)[0], b"h", b"t")
    found = viewed.view.recall(b"r")
    assert found is not None
    assert (found.head, found.tail) == (b"h", b"t")


SEEN = interface(
    InputField("p", DType.FLOAT32, (), precision=2),
    InputField("s", DType.STRING, (), lookups=Lookups("a table", words("a"))),
)


def kept(*layouts: object) -> View:
    """A version whose tiers have these layouts."""
    uses = [TierUse("l1", cast("Any", None), cast("Any", layout), 60, read_only=False) for layout in layouts]
    return View(SEEN, None, None, OuterTiers(uses), None)


def test_a_caller_s_keys_are_held_to_mly_s_rule() -> None:
    """As the server sees the rows, rounded and folded; a row without a key of mly's has none that fits."""
    asked = rows(p=[1.234, 1.5, 2], s=["a", "z", "b/c"])
    own = ["1.23/a", "1.50/[UNK]", "2.00/[UNK]"]
    view = kept(NativeLayout(), MlyLayout(SEEN, longest_life_s=60))
    assert view.refused_keys(asked, own) == 0
    assert view.refused_keys(asked, ["1.23/a", "1.50/z", ""]) == 2
    assert view.refused_keys(rows(p=[float("inf")], s=["a"]), ["inf/a"]) == 1


def test_a_caller_s_keys_do_not_matter_where_nothing_stands_under_them() -> None:
    """Their check would cost every request of such a client, for nothing."""
    asked = rows(p=[1], s=["a"])
    for view in (kept(), kept(NativeLayout()), View(SEEN, None, None, NO_TIERS, "UseDict is false")):
        assert view.refused_keys(asked, ["wrong"]) == 0
