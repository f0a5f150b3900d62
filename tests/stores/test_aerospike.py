"""The Aerospike store with the official client: against the double, and against a real node as well where
``MLSERVE_TEST_AEROSPIKE=host:port`` names one (namespace ``test``, ``nsup-period`` above 0)."""

from __future__ import annotations

import asyncio
import builtins
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import aerospike
import psutil
import pytest

from mlserve.contracts.place import Locates, Place
from mlserve.contracts.store import MAX_VALUE_BYTES, Record, RecordStore, StoreFault, StoreOptions, StoreRefused
from mlserve.stores.aerospike import DEFAULT_SET, AerospikeStore
from tests.support import aerospike_frames as wire
from tests.support.aerospike_double import AerospikeDouble, aerospike_double
from tests.support.aerospike_records import Kept

REAL = os.environ.get("MLSERVE_TEST_AEROSPIKE")
LIFE = 60.0
ODD_NAMES = [b"k", b"\x00", b"a\x00b", b"a\x00c", b"a", b"\xff\xfe", b"x" * 500, bytes(range(256))]


class Clock:
    """The double's: the host's, and what a test adds."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Node:
    """A server, and a set of its own for each test. ``pass_time`` makes it that much later there."""

    def __init__(self, url: str, pass_time: Callable[[float], object]) -> None:
        self.url = url
        self.dataset = f"t{uuid4().hex}"
        self.pass_time = pass_time

    @contextmanager
    def somebody_else(self) -> Iterator[aerospike.Client]:
        """A client with another idea of what belongs into a record."""
        host, _, port = self.url.removeprefix("aerospike://").partition(":")
        client = aerospike.client({"hosts": [(host, int(port))]})
        try:
            yield client
        finally:
            client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def double(clock: Clock) -> Iterator[AerospikeDouble]:
    with aerospike_double(clock=clock) as double:
        yield double


@pytest.fixture(params=["double", "real"] if REAL else ["double"])
def node(request: pytest.FixtureRequest, clock: Clock) -> Node:
    if request.param == "real":
        return Node(f"aerospike://{REAL}", time.sleep)
    double: AerospikeDouble = request.getfixturevalue("double")
    return Node(double.url, lambda seconds: setattr(clock, "ahead_s", clock.ahead_s + seconds))


@asynccontextmanager
async def opened(
    url: str, *, read_s: float = 5.0, write_s: float = 5.0, connect_s: float = 5.0
) -> AsyncIterator[AerospikeStore]:
    options = StoreOptions(url, connect_timeout_s=connect_s, read_timeout_s=read_s, write_timeout_s=write_s)
    store = AerospikeStore(options)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


def digest(dataset: str, name: bytes | str) -> bytes:
    return bytes(aerospike.calc_digest("test", dataset, bytearray(name) if isinstance(name, bytes) else name))


async def works_again(attempt: Callable[[], object]) -> None:
    """Until ``attempt`` raises no :class:`StoreFault`; within ten seconds."""
    async with asyncio.timeout(10):
        while True:
            try:
                await attempt()  # type: ignore[misc]
            except StoreFault:
                await asyncio.sleep(0.02)
            else:
                return


async def test_it_is_a_record_store(double: AerospikeDouble) -> None:
    """The chain knows the contract alone."""
    store: RecordStore = AerospikeStore(StoreOptions(double.url))
    await store.open()
    await store.check()
    await store.close()


async def test_entries_come_back_in_the_order_asked(node: Node) -> None:
    """Whatever bytes a name has: the client's own treatment of bytes makes one key of all that share a beginning."""
    async with opened(node.url) as store:
        entries = store.entries("test", node.dataset)
        assert await entries.get_many([]) == []
        await entries.put_many([])
        await entries.put_many([(name, b"v" + name, LIFE) for name in ODD_NAMES])
        expected = [b"v" + name for name in ODD_NAMES]
        assert await entries.get_many(ODD_NAMES) == expected
        assert [await entries.get_many([name]) for name in ODD_NAMES] == [[value] for value in expected]
        asked = [b"none", ODD_NAMES[2], b"a\x00", ODD_NAMES[2]]
        assert await entries.get_many(asked) == [None, expected[2], None, expected[2]]
        assert await entries.get_many([b"none"]) == [None]


async def test_the_last_of_two_values_under_one_name_is_stored(node: Node) -> None:
    """A server may work off the rows of a batch in any order."""
    async with opened(node.url) as store:
        entries = store.entries("test", node.dataset)
        await entries.put_many([(b"k", b"1", LIFE), (b"j", b"2", LIFE), (b"k", b"3", LIFE)])
        assert await entries.get_many([b"k", b"j"]) == [b"3", b"2"]
        await entries.put_many([(b"k", b"4", LIFE)])
        assert await entries.get_many([b"k"]) == [b"4"]


async def test_one_request_for_many(double: AerospikeDouble) -> None:
    """A round trip each way, however many names; the names alone are not stored."""
    async with opened(double.url) as store:
        entries = store.entries("test", "s")
        await entries.put_many([(b"%d" % n, b"v", LIFE) for n in range(500)])
        assert await entries.get_many([b"%d" % n for n in range(500)]) == [b"v"] * 500
        assert len(double.asked) == 2
        kept = double.records.at("test", digest("s", b"7"))
        assert kept is not None
        assert (kept.set, kept.user_key, kept.bins) == (b"s", None, {b"mlserve": (4, b"v")})


async def test_sets_and_namespaces_are_apart() -> None:
    """Two datastores on one connection share nothing; without a dataset, entries still lie in a set of ours."""
    with aerospike_double(namespaces=("test", "other")) as double:
        async with opened(double.url + "/other") as store:
            tables = [store.entries("test", "a"), store.entries("test", "b"), store.entries(None, "a")]
            for number, table in enumerate(tables):
                await table.put_many([(b"k", b"%d" % number, LIFE)])
            assert [await table.get_many([b"k"]) for table in tables] == [[b"0"], [b"1"], [b"2"]]
            await store.entries(None, None).put_many([(b"k", b"v", LIFE)])
            assert double.records.at("other", digest(DEFAULT_SET, b"k")) is not None


async def test_a_life_ends(node: Node) -> None:
    """The server forgets by itself, entries and records."""
    async with opened(node.url) as store:
        entries, records = store.entries("test", node.dataset), store.records("test", node.dataset)
        await entries.put_many([(b"short", b"v", 1.0), (b"long", b"v", LIFE)])
        await records.put_many([("short", Record({"a": 1}, None), 1.0)])
        assert await entries.get_many([b"long"]) == [b"v"]
        node.pass_time(3.0)
        assert await entries.get_many([b"short", b"long"]) == [None, b"v"]
        assert await records.get_many(["short"]) == [None]


@pytest.mark.parametrize(("ttl_s", "sent"), [(0.001, 1), (1.0, 1), (1.2, 2), (900.0, 900), (1e12, 315_360_000)])
async def test_lives_are_sent_in_whole_seconds(double: AerospikeDouble, ttl_s: float, sent: int) -> None:
    """Never 0, which means the namespace's default and may be for ever; never more than a server takes."""
    async with opened(double.url) as store:
        await store.entries("test", "s").put_many([(b"a", b"v", ttl_s), (b"b", b"v", ttl_s)])
        await store.records("test", "s").put_many([("a", Record({"a": 1}, None), ttl_s)])
    (batch, single) = double.asked
    assert [row.ttl for row in wire.rows(batch)] == [sent, sent]
    assert single.ttl == sent


async def test_records_come_back_as_typed_bins(node: Node) -> None:
    """Integers stay integers and doubles doubles: clients of other languages read them by type."""
    bins = {"i": -(2**63), "f": 3.5714285373687744, "whole": 25.0, "s": "Größe", "empty": "", "dictHash": 7}
    async with opened(node.url) as store:
        records = store.records("test", node.dataset)
        await records.put_many([("a/b", Record(bins, None), LIFE), ("c", Record({"i": 1}, None), LIFE)])
        one, none, other, again = await records.get_many(["a/b", "x", "c", "a/b"])
        assert one is not None
        assert other is not None
        assert (dict(one.bins), none, dict(other.bins), again) == (bins, None, {"i": 1}, one)
        assert list(map(type, one.bins.values())) == list(map(type, bins.values()))
        assert one.ttl_s is not None
        assert LIFE - 2 <= one.ttl_s <= LIFE
        assert await records.get_many([]) == []
        await records.put_many([])


async def test_a_record_is_replaced_whole(node: Node) -> None:
    """A bin of an older answer beside those of a newer one would be a wrong answer."""
    async with opened(node.url) as store:
        records = store.records("test", node.dataset)
        await records.put_many([("k", Record({"old": 1, "a": 1}, None), LIFE)])
        await records.put_many([("k", Record({"a": 2}, None), LIFE)])
        (record,) = await records.get_many(["k"])
        assert record is not None
        assert record.bins == {"a": 2}


@pytest.mark.parametrize(
    ("dataset", "name", "expected"),
    [
        ("sli", "a/a/test/k", "b34bbd18061e71f9e54ac93d9c465964cd38d425"),
        ("slf", "a/a/", "d0e33c35a261b0f9edceaf5ea17aaaca83c931a7"),
        ("fli", "1.0005/a", "bf7f006e246a1cbd9e040cbc9434c214b598c3c1"),
    ],
)
async def test_records_lie_where_clients_of_mly_look(
    double: AerospikeDouble, dataset: str, name: str, expected: str
) -> None:
    """The digest that a Go client computes, and the text beside it for people who look."""
    async with opened(double.url) as store:
        await store.records("test", dataset).put_many([(name, Record({"expand": 25}, None), 30.0)])
    kept = double.records.at("test", bytes.fromhex(expected))
    assert kept is not None
    assert (kept.user_key, kept.bins) == (b"\x03" + name.encode(), {b"expand": (1, (25).to_bytes(8))})


async def test_records_of_somebody_else_never_fail(node: Node) -> None:
    """They are read as far as they are of our kind: the layout decides what they are worth."""
    theirs = {"i": 1, "l": [1], "m": {"a": 1}, "b": b"x", "t": True, "s": "s"}
    async with opened(node.url) as store:
        with node.somebody_else() as client:
            client.put(("test", node.dataset, "k"), theirs, policy={"ttl": aerospike.TTL_NEVER_EXPIRE})
            client.put(("test", node.dataset, bytearray(b"k")), theirs)
            client.put(("test", node.dataset, bytearray(b"text")), {"mlserve": "text"})
            client.put(("test", node.dataset, bytearray(b"list")), {"mlserve": [1]})
        (record,) = await store.records("test", node.dataset).get_many(["k"])
        assert record == Record({"i": 1, "s": "s"}, None)
        entries = store.entries("test", node.dataset)
        assert [await entries.get_many([name]) for name in (b"k", b"text", b"list")] == [[None]] * 3
        assert await entries.get_many([b"k", b"text", b"list"]) == [None, None, None]


@pytest.mark.parametrize(
    "bins", [{b"x": (3, b"\xff\xfe")}, {b"\xff": (1, b"\x00" * 8)}, {b"x": (20, b"\x91\xa2\x03\xff")}]
)
async def test_text_that_is_none_does_not_end_the_process(
    double: AerospikeDouble, bins: dict[bytes, tuple[int, bytes]]
) -> None:
    """The client dies of it in a batch; programs in other languages may write it any time."""
    double.records.keep("test", digest("s", "bad"), Kept(b"s", bins, None, 1, 0))
    async with opened(double.url) as store:
        records = store.records("test", "s")
        await records.put_many([("good", Record({"a": 1}, None), LIFE)])
        assert await records.get_many(["bad"]) == [None]
        found = await records.get_many(["bad", "good", *map(str, range(40))])
        assert found[0] is None
        assert found[1] is not None


async def test_values_over_the_bound_are_misses() -> None:
    """Somebody else's: a chain that bounds its memory by entries must not be handed more."""
    with aerospike_double() as double:
        double.records.max_record_bytes = 9 * 1024 * 1024
        async with opened(double.url) as store:
            entries, records = store.entries("test", "s"), store.records("test", "s")
            largest = b"x" * MAX_VALUE_BYTES
            await entries.put_many([(b"in", largest, LIFE), (b"over", largest + b"x", LIFE)])
            await records.put_many([("over", Record({"a": "x" * MAX_VALUE_BYTES, "b": 1}, None), LIFE)])
            assert await entries.get_many([b"in", b"over"]) == [largest, None]
            assert await entries.get_many([b"over"]) == [None]
            assert await records.get_many(["over"]) == [None]


async def test_records_that_do_not_fit_are_refused_and_the_others_stored(node: Node) -> None:
    """The client would cut them, confuse them, or fail for all."""
    unfit = [("a\0b", {"a": 1}), ("\udcff", {"a": 1}), ("t", {"a": "x\0y"}), ("n", {"a" * 16: 1}), ("i", {"a": 2**63})]
    async with opened(node.url) as store:
        records = store.records("test", node.dataset)
        items = [(name, Record(bins, None), LIFE) for name, bins in [*unfit, ("good", {"a": 1})]]
        with pytest.raises(StoreRefused, match="5 of 6 records cannot be in Aerospike"):
            await records.put_many(items)
        found = await records.get_many([name for name, _, _ in items])
        assert [record is not None for record in found] == [False] * 5 + [True]
        assert await records.get_many(["a\0b", "\udcff"]) == [None, None]


REFUSALS = [(8, "out of space"), (13, "max-record-size"), (18, "overloaded"), (22, "nsup-period"), (4, "wrong")]
FAULTS = [(9, "no answer in time"), (11, "no node"), (1, "code 1")]


@pytest.mark.parametrize(("code", "words"), REFUSALS + FAULTS)
@pytest.mark.parametrize("count", [1, 3])
async def test_failures_of_a_write_say_what_to_do(double: AerospikeDouble, code: int, words: str, count: int) -> None:
    """What is refused is dropped by the chain, what failed is tried again: the kinds must not be mixed up."""
    expected = StoreRefused if (code, words) in REFUSALS else StoreFault
    async with opened(double.url) as store:
        double.faults.code = code
        with pytest.raises(StoreFault, match=words) as failure:
            await store.entries("test", "s").put_many([(b"%d" % n, b"v", LIFE) for n in range(count)])
        assert type(failure.value) is expected
        assert f"code {code}" in str(failure.value)


async def test_a_fault_outweighs_a_refusal(double: AerospikeDouble) -> None:
    """One record that is too large must not drop those that a server never saw."""
    async with opened(double.url) as store:
        double.faults.codes = {digest("s", b"a"): 13, digest("s", b"b"): 9}
        with pytest.raises(StoreFault) as failure:
            await store.entries("test", "s").put_many([(name, b"v", LIFE) for name in (b"a", b"b", b"c")])
        assert type(failure.value) is StoreFault
        double.faults.codes = {}
        assert await store.entries("test", "s").get_many([b"c"]) == [b"v"]


async def test_a_namespace_that_does_not_expire_is_named_as_the_cause(double: AerospikeDouble) -> None:
    """A server's default: without the word nsup-period nobody finds it."""
    double.records.expiring = False
    async with opened(double.url) as store:
        for names in ([b"a"], [b"a", b"b"]):
            with pytest.raises(StoreRefused, match="nsup-period above 0"):
                await store.entries("test", "s").put_many([(name, b"v", LIFE) for name in names])


async def test_an_unknown_namespace(double: AerospikeDouble) -> None:
    """Reads, writes and the probe all say so: the connection is not up for that datastore."""
    async with opened(double.url) as store:
        await store.check()
        entries = store.entries("missing", "s")
        for call in (entries.get_many([b"a"]), entries.get_many([b"a", b"b"]), store.check()):
            with pytest.raises(StoreFault, match="code 20"):
                await call
        with pytest.raises(StoreFault, match="no such namespace"):
            await entries.put_many([(b"a", b"v", LIFE)])


async def test_a_datastore_without_a_namespace_is_told_what_to_write() -> None:
    """Aerospike has no place without one."""
    store = AerospikeStore(StoreOptions("aerospike://127.0.0.1"))
    with pytest.raises(StoreFault, match="needs a Namespace"):
        store.entries(None, "s")
    for namespace, dataset in (("n" * 32, "s"), ("n", "s" * 64), ("n", "a\0b")):
        with pytest.raises(StoreFault, match="bytes at most"):
            store.records(namespace, dataset)
    await store.close()


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
@pytest.mark.parametrize("code", [1, 9, 11, 18])
async def test_reads_of_which_all_fail_raise(double: AerospikeDouble, names: Sequence[str], code: int) -> None:
    """A server that answers nothing but errors is down, and the breaker must hear of it."""
    async with opened(double.url) as store:
        double.faults.code = code
        with pytest.raises(StoreFault, match=f"code {code}"):
            await store.entries("test", "s").get_many([name.encode() for name in names])
        with pytest.raises(StoreFault, match=f"code {code}"):
            await store.records("test", "s").get_many(names)


async def test_reads_of_which_some_fail_are_misses(double: AerospikeDouble) -> None:
    """One node of many may be down: what the others hold is as good as ever."""
    async with opened(double.url) as store:
        entries = store.entries("test", "s")
        await entries.put_many([(name, b"v", LIFE) for name in (b"a", b"b", b"c")])
        double.faults.codes = {digest("s", b"b"): 11}
        assert await entries.get_many([b"a", b"b", b"c"]) == [b"v", None, b"v"]
        double.faults.codes = {}
        double.faults.lost = {digest("s", b"a")}
        assert await entries.get_many([b"a", b"b", b"c"]) == [None, b"v", b"v"]


async def test_records_after_a_failure_are_misses(double: AerospikeDouble) -> None:
    """Asking a server that just failed for all the rest would take as many timeouts."""
    async with opened(double.url) as store:
        records = store.records("test", "s")
        await records.put_many([(name, Record({"a": 1}, None), LIFE) for name in "abc"])
        double.faults.codes = {digest("s", "b"): 9}
        asked = len(double.asked)
        found = await records.get_many(list("abc"))
        assert [record is not None for record in found] == [True, False, False]
        assert len(double.asked) == asked + 2


async def test_records_that_take_too_long_are_misses(double: AerospikeDouble) -> None:
    """The first come in time to be of use; without a bound here, all would come too late."""
    async with opened(double.url, read_s=0.5) as store:
        records = store.records("test", "s")
        await records.put_many([(str(n), Record({"a": 1}, None), LIFE) for n in range(8)])
        double.faults.pause_s = 0.15
        began = time.monotonic()
        found = await records.get_many([str(n) for n in range(8)])
        assert 0 < sum(record is not None for record in found) < 8
        assert time.monotonic() - began < 8 * 0.15


@pytest.mark.parametrize("code", [4, 18, 150, 151])
async def test_a_batch_that_is_refused_as_a_whole_fails(double: AerospikeDouble, code: int) -> None:
    """Its rows say only that nobody answered."""
    async with opened(double.url) as store:
        double.faults.batch_code = code
        with pytest.raises(StoreFault, match=f"code {code}"):
            await store.entries("test", "s").get_many([b"a", b"b"])


@pytest.mark.parametrize("fault", ["silent", "mute", "closes"])
async def test_a_server_that_hangs_costs_one_timeout(double: AerospikeDouble, fault: str) -> None:
    """And the store works again as soon as the server does."""
    async with opened(double.url, read_s=0.2, write_s=0.2, connect_s=0.5) as store:
        entries = store.entries("test", "s")
        await entries.put_many([(b"a", b"v", LIFE), (b"b", b"v", LIFE)])
        setattr(double.faults, fault, True)
        writing = entries.put_many([(b"c", b"v", LIFE), (b"d", b"v", LIFE)])
        for failing in (entries.get_many([b"a"]), entries.get_many([b"a", b"b"]), store.check(), writing):
            with pytest.raises(StoreFault):
                async with asyncio.timeout(2):
                    await failing
        setattr(double.faults, fault, False)
        await works_again(lambda: entries.get_many([b"a"]))
        assert await entries.get_many([b"a", b"b"]) == [b"v", b"v"]


async def test_rows_that_came_before_a_batch_hung_are_used(double: AerospikeDouble) -> None:
    """They are whole."""
    async with opened(double.url, read_s=0.2) as store:
        entries = store.entries("test", "s")
        await entries.put_many([(b"a", b"v", LIFE), (b"b", b"v", LIFE)])
        double.faults.unended = True
        assert await entries.get_many([b"a", b"b"]) == [b"v", b"v"]


async def test_a_server_that_went_and_came_back(double: AerospikeDouble) -> None:
    """The probe tells the truth at every moment, and the same client finds the server again."""
    async with opened(double.url, read_s=0.5, connect_s=0.5) as store:
        entries = store.entries("test", "s")
        await entries.put_many([(b"a", b"v", LIFE)])
        await store.check()
        await asyncio.to_thread(double.stop)
        for _ in range(3):
            with pytest.raises(StoreFault):
                await store.check()
            with pytest.raises(StoreFault):
                await entries.get_many([b"a"])
        double.start()
        await works_again(store.check)
        await works_again(lambda: entries.get_many([b"a"]))
        assert await entries.get_many([b"a"]) == [b"v"]


async def test_a_server_absent_at_first(double: AerospikeDouble) -> None:
    """Opening fails with its address, and again, until the server is there."""
    await asyncio.to_thread(double.stop)
    store = AerospikeStore(StoreOptions(double.url))
    for _ in range(2):
        with pytest.raises(StoreFault, match=f"no connection to 127.0.0.1:{double.port}"):
            await store.open()
    with pytest.raises(StoreFault, match="not open yet"):
        await store.check()
    double.start()
    await store.open()
    await store.check()
    await store.close()


async def test_a_second_host_is_tried_within_the_same_time(double: AerospikeDouble) -> None:
    """A cluster is up while one seed is."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"aerospike://127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{double.port}"
        async with opened(url, connect_s=1.0) as store:
            await store.check()


async def test_none_of_several_hosts() -> None:
    """The error names all that were tried."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    store = AerospikeStore(StoreOptions(f"aerospike://127.0.0.1,127.0.0.1:{port}"))
    with pytest.raises(StoreFault, match=f"no connection to 127.0.0.1:{port}, 127.0.0.1:{port}: none of these"):
        await store.open()
    await store.close()


async def test_a_peer_that_says_nothing_is_given_up() -> None:
    """Something else may listen there."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = AerospikeStore(StoreOptions(f"aerospike://127.0.0.1:{silent.getsockname()[1]}", connect_timeout_s=0.1))
        async with asyncio.timeout(5):
            with pytest.raises(StoreFault, match="no connection"):
                await store.open()
        await store.close()


async def test_opening_that_is_cancelled_leaves_nothing() -> None:
    """The thread that still connects ends, and what it brings is closed: the guard looks for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = AerospikeStore(StoreOptions(f"aerospike://127.0.0.1:{silent.getsockname()[1]}", connect_timeout_s=0.5))
        opening = asyncio.create_task(store.open())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        async with asyncio.timeout(2):
            await store.close()
        with pytest.raises(StoreFault, match="closed"):
            await store.open()


async def test_an_attempt_that_outlived_its_caller_is_joined(double: AerospikeDouble) -> None:
    """A new one each time would pile up threads while a name service hangs."""
    double.faults.mute = True
    store = AerospikeStore(StoreOptions(double.url, connect_timeout_s=5.0))
    opening = asyncio.create_task(store.open())
    while store._attempt is None:
        await asyncio.sleep(0)
    attempt = store._attempt
    opening.cancel()
    await asyncio.wait([opening])
    again = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    assert store._attempt is attempt
    await asyncio.to_thread(double.stop)
    with pytest.raises(StoreFault):
        await again
    double.faults.mute = False
    double.start()
    await store.open()
    await store.check()
    await store.close()


async def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is an extra."""
    importing = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "mlserve.stores.aerospike_session":
            raise ModuleNotFoundError("No module named 'aerospike'", name="aerospike")
        return importing(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    store = AerospikeStore(StoreOptions("aerospike://127.0.0.1"))
    with pytest.raises(StoreFault, match=r"pip install 'mlserve\[aerospike\]'"):
        await store.open()
    await store.close()


async def test_callers_may_leave(double: AerospikeDouble) -> None:
    """Whoever waits in line and leaves is never asked for; whoever is being answered and leaves spoils nothing."""
    async with opened(double.url) as store:
        entries = store.entries("test", "s")
        await entries.put_many([(b"a", b"v", LIFE)])
        double.open_gate.clear()
        asked = len(double.asked)
        busy = [asyncio.create_task(entries.get_many([b"a"])) for _ in range(store.parallel_reads)]
        await asyncio.to_thread(double.arrived, asked + store.parallel_reads)
        in_line = asyncio.create_task(entries.get_many([b"a"]))
        writing = asyncio.create_task(entries.put_many([(b"b", b"v", LIFE)]))
        await asyncio.to_thread(double.arrived, asked + store.parallel_reads + 1)
        for leaving in (busy[0], in_line, writing):
            leaving.cancel()
        await asyncio.wait([busy[0], in_line, writing])
        assert busy[0].cancelled()
        assert in_line.cancelled()
        double.open_gate.set()
        assert await asyncio.gather(*busy[1:]) == [[b"v"]] * (store.parallel_reads - 1)
        assert await entries.get_many([b"a"]) == [b"v"]
        assert len(double.asked) == asked + store.parallel_reads + 2


async def test_records_are_read_side_by_side(double: AerospikeDouble) -> None:
    """One by one in one thread, a batch of a hundred rows would come too late; leaving ends all of it."""
    async with opened(double.url) as store:
        records = store.records("test", "s")
        names = [str(n) for n in range(100)]
        await records.put_many([(name, Record({"a": int(name)}, None), LIFE) for name in names])
        found = await records.get_many(names)
        assert [record and record.bins["a"] for record in found] == list(range(100))
        double.open_gate.clear()
        asked = len(double.asked)
        reading = asyncio.create_task(records.get_many(names))
        await asyncio.to_thread(double.arrived, asked + store.parallel_reads)
        reading.cancel()
        await asyncio.wait([reading])
        double.open_gate.set()
        (record,) = await records.get_many(["7"])
        assert record is not None
        assert record.bins == {"a": 7}


async def test_closing_while_busy_is_bounded(double: AerospikeDouble) -> None:
    """Calls under way end by their timeout, those in line at once, and every caller hears of it."""
    async with opened(double.url, read_s=0.3, write_s=0.3, connect_s=0.5) as store:
        entries = store.entries("test", "s")
        double.open_gate.clear()
        reads = [asyncio.create_task(entries.get_many([b"a"])) for _ in range(3 * store.parallel_reads)]
        writes = [asyncio.create_task(entries.put_many([(b"a", b"v", LIFE)])) for _ in range(5)]
        await asyncio.to_thread(double.arrived, store.parallel_reads)
        async with asyncio.timeout(3):
            await store.close()
            outcomes = await asyncio.gather(*reads, *writes, return_exceptions=True)
        assert all(isinstance(outcome, StoreFault) for outcome in outcomes), outcomes
        assert any("closed" in str(outcome) for outcome in outcomes)
        double.open_gate.set()
        with pytest.raises(StoreFault, match="the connection is closed"):
            await entries.get_many([b"a"])
        with pytest.raises(StoreFault, match="the connection is closed"):
            await store.check()


async def test_closing_leaves_no_thread_of_the_client() -> None:
    """Its C core has threads of its own, which no guard of ours sees."""
    await asyncio.to_thread(int)
    process = psutil.Process()
    before = process.num_threads()
    with aerospike_double() as double:
        async with opened(double.url) as store:
            await store.check()
            assert process.num_threads() > before
    async with asyncio.timeout(5):
        while process.num_threads() > before:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("url", "namespace", "dataset", "place"),
    [
        ("aerospike://a,b:3001", "test", "m", Place((("a", 3001), ("b", 3001)), "test", "m")),
        ("aerospike://a/later", None, None, Place((("a", 3000),), "later", DEFAULT_SET)),
        ("aerospike://a/later", "test", None, Place((("a", 3000),), "test", DEFAULT_SET)),
    ],
)
def test_where_records_lie_can_be_told_without_a_store(
    url: str, namespace: str | None, dataset: str | None, place: Place
) -> None:
    """mly's clients connect by it, and find nothing anywhere else."""
    assert isinstance(AerospikeStore, Locates)
    assert AerospikeStore.place(url, namespace, dataset) == place


@pytest.mark.parametrize(
    ("url", "namespace"), [("aerospike://a", None), ("aerospike://u:p@a", "x"), ("aerospike://a", "x" * 32)]
)
def test_no_place_is_told_where_the_store_itself_would_fail(url: str, namespace: str | None) -> None:
    with pytest.raises(StoreFault):
        AerospikeStore.place(url, namespace, None)
