"""The double of an Aerospike node, held to recorded bytes and to the official client: what others are tested with."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from time import time

import aerospike
import pytest
from aerospike import exception
from aerospike_helpers.batch.records import BatchRecords, Write
from aerospike_helpers.operations import operations

from tests.support import aerospike_frames as wire
from tests.support.aerospike_double import AerospikeDouble, aerospike_double

K1 = "b80b156bf73358d0a55a7e2bebab967c98fee620"
K2 = "4d292c63d02e9b529bb39ba65e1ef3978ab8f9ff"
K3 = "8e97b63cd0bc238b7e8e2bd86b0c6bdfefd0f783"
FIELDS = "00000005 00 74657374 00000006 01 6361636865 00000015 04" + K1
PUT = (
    "02 03 00000000004d 16 00 01 00 00 00 00000000 0000001e 000000fa 0003 0001"
    + FIELDS
    + "00000007 02 04 00 01 76 00ff"
)
PUT_ANSWER = "02 03 000000000016 16 00 00 00 00 00 00000001 1fc2d7d9 00000000 0000 0000"
GET = "02 03 000000000042 16 03 00 00 00 00 00000000 00000000 000000fa 0003 0000" + FIELDS
GET_ANSWER = "02 03 000000000021 16 00 00 00 00 00 00000001 1fc2d7d9 00000000 0000 0001 00000007 01 04 00 01 76 00ff"
BATCH_FIELD = (
    "00000003 0d 00000000" + K1 + "0a 03 00 00 00000000 0002 0000 00000005 00 74657374 00000006 01 6361636865"
    "00000001" + K2 + "01 00000002" + K3 + "01"
)
RECORDED_AT = 0x1FC2D7D9 - 30 + wire.EPOCH

LIMITS = {"total_timeout": 5000, "socket_timeout": 5000, "max_retries": 0}
KEY = ("test", "cache", "k1")


class Clock:
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def double(clock: Clock) -> Iterator[AerospikeDouble]:
    with aerospike_double(clock=clock) as double:
        yield double


@pytest.fixture
def client(double: AerospikeDouble) -> Iterator[aerospike.Client]:
    policies = dict.fromkeys(("read", "write", "remove", "operate", "batch", "batch_parent_write"), LIMITS)
    client = aerospike.client({"hosts": [("127.0.0.1", double.port)], "validate_keys": True, "policies": policies})
    yield client
    client.close()


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """One request and its whole answer, as bytes."""
    connection.sendall(request)
    answer = bytearray()
    while len(answer) < 8 or len(answer) < 8 + wire.head(bytes(answer[:8]))[1]:
        part = connection.recv(65536)
        assert part, "the double closed the connection"
        answer += part
    return bytes(answer)


def test_recorded_frames_of_a_put_and_a_get() -> None:
    """To the byte what a real node answered: else the client is tested against a fiction."""
    with (
        aerospike_double(clock=lambda: RECORDED_AT) as double,
        socket.create_connection(("127.0.0.1", double.port)) as connection,
    ):
        assert exchange(connection, bytes.fromhex(PUT)) == bytes.fromhex(PUT_ANSWER)
        assert exchange(connection, bytes.fromhex(GET)) == bytes.fromhex(GET_ANSWER)


def test_the_client_sends_the_recorded_frames(double: AerospikeDouble, client: aerospike.Client) -> None:
    """The frames above are this client's, and the double reads all of them."""
    client.put(KEY, {"v": b"\x00\xff"}, policy={"ttl": 30, "total_timeout": 250})
    client.get(KEY, policy={"total_timeout": 250})
    assert double.asked == [wire.request(bytes.fromhex(frame)[8:]) for frame in (PUT, GET)]
    assert double.asked[0].digest == bytes(aerospike.calc_digest(*KEY)) == bytes.fromhex(K1)


def test_requests_in_pieces_are_one_request() -> None:
    """TCP promises no boundaries."""
    with (
        aerospike_double(clock=lambda: RECORDED_AT) as double,
        socket.create_connection(("127.0.0.1", double.port)) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in bytes.fromhex(PUT)[:-1]:
            connection.sendall(bytes([byte]))
        assert exchange(connection, bytes.fromhex(PUT)[-1:]) == bytes.fromhex(PUT_ANSWER)


def test_recorded_field_of_a_batch() -> None:
    """Rows that repeat the one before them have its namespace, set and bits, and their own digest."""
    rows = list(wire.rows(wire.Request(fields={wire.BATCH: bytes.fromhex(BATCH_FIELD)})))
    assert [(row.index, row.digest.hex()) for row in rows] == [(0, K1), (1, K2), (2, K3)]
    assert {(row.info1, row.info2, row.namespace, row.fields[wire.SET]) for row in rows} == {(3, 0, "test", b"cache")}


def test_the_client_sends_the_recorded_batch(double: AerospikeDouble, client: aerospike.Client) -> None:
    """One request for many keys, with the bytes above."""
    client.batch_read([("test", "cache", key) for key in ("k1", "k2", "k3")])
    (request,) = double.asked
    assert request.fields[wire.BATCH].hex() == BATCH_FIELD.replace(" ", "")


def test_info_answers_in_the_order_asked() -> None:
    """The client reads values by their place; an unknown name costs the others nothing."""
    with aerospike_double() as double, socket.create_connection(("127.0.0.1", double.port)) as connection:
        request = wire.frame(wire.INFO, b"node\npartition-generation\nnonsense\nbuild\n")
        answer = exchange(connection, request)
    expected = b"node\tA1\npartition-generation\t0\nnonsense\tERROR:4:unrecognized command\nbuild\t8.0.0.15\n"
    assert answer == wire.frame(wire.INFO, expected)


def test_a_cut_message_is_an_error_not_a_guess() -> None:
    """The double reads what is there, or says so."""
    with pytest.raises(struct.error):
        wire.request(bytes.fromhex(PUT)[8:-1])


def test_reads_answer_what_was_asked(client: aerospike.Client) -> None:
    """All bins, some bins, or none; a missing record is a code of its own."""
    bins = {"i": -5, "f": 1.5, "s": "text", "b": b"\x00", "l": [1, "a", b"z"], "m": {"a": 1}, "t": True}
    client.put(KEY, bins)
    assert client.get(KEY)[2] == bins
    assert client.select(KEY, ["i", "none"])[2] == {"i": -5}
    assert client.exists(KEY)[1] == {"gen": 1, "ttl": 0xFFFFFFFF}
    assert client.exists(("test", "cache", "k2"))[1] is None
    with pytest.raises(exception.RecordNotFound):
        client.get(("test", "cache", "k2"))


def test_puts_merge_and_replace(client: aerospike.Client) -> None:
    """A plain put keeps other bins, and ``None`` takes one away; create or replace keeps nothing."""
    client.put(KEY, {"a": 1, "b": 2})
    client.put(KEY, {"b": None, "c": 3})
    assert client.get(KEY)[2] == {"a": 1, "c": 3}
    client.put(KEY, {"d": 4}, policy={"exists": aerospike.POLICY_EXISTS_CREATE_OR_REPLACE})
    _, meta, bins = client.get(KEY)
    assert (bins, meta["gen"]) == ({"d": 4}, 3)
    client.put(KEY, {"d": None})
    assert client.exists(KEY)[1] is None


@pytest.mark.parametrize(
    ("policy", "there", "expected"),
    [
        ({"exists": aerospike.POLICY_EXISTS_CREATE}, True, exception.RecordExistsError),
        ({"exists": aerospike.POLICY_EXISTS_UPDATE}, False, exception.RecordNotFound),
        ({"exists": aerospike.POLICY_EXISTS_REPLACE}, False, exception.RecordNotFound),
        ({"gen": aerospike.POLICY_GEN_EQ}, True, exception.RecordGenerationError),
    ],
)
def test_conditions_of_a_put(
    client: aerospike.Client, policy: dict[str, int], there: bool, expected: type[Exception]
) -> None:
    """The record is left as it is when its state is not the one expected."""
    if there:
        client.put(KEY, {"a": 1})
    with pytest.raises(expected):
        client.put(KEY, {"a": 2}, meta={"gen": 7}, policy=policy)
    assert client.get(KEY)[2] == {"a": 1} if there else client.exists(KEY)[1] is None


def test_remove_touch_and_operate(client: aerospike.Client) -> None:
    """Generations grow with each write, a touch included; operate writes first and reads then."""
    client.put(KEY, {"a": 1}, policy={"ttl": 10})
    client.touch(KEY, 500)
    _, meta = client.exists(KEY)
    assert meta["gen"] == 2
    assert 490 < meta["ttl"] <= 500
    assert client.operate(KEY, [operations.write("a", 2), operations.read("a")])[2] == {"a": 2}
    client.remove(KEY)
    for missing in (client.remove, client.touch):
        with pytest.raises(exception.RecordNotFound):
            missing(KEY)


def test_lives_end(client: aerospike.Client, clock: Clock) -> None:
    """On read, without anybody sweeping; an update without a life makes the record permanent, as on a server."""
    other = ("test", "cache", "k2")
    client.put(KEY, {"a": 1}, policy={"ttl": 30})
    client.put(other, {"a": 1}, policy={"ttl": 30})
    client.put(other, {"b": 1})
    clock.ahead_s = 29
    assert client.get(KEY)[2] == {"a": 1}
    client.put(KEY, {"b": 1}, policy={"ttl": aerospike.TTL_DONT_UPDATE})
    clock.ahead_s = 31
    assert client.exists(KEY)[1] is None
    assert client.exists(other)[1]["ttl"] == 0xFFFFFFFF


def test_what_a_server_refuses(double: AerospikeDouble, client: aerospike.Client) -> None:
    """Lives beyond ten years or on a node that does not expire, records too large, unknown namespaces."""
    with pytest.raises(exception.InvalidRequest):
        client.put(KEY, {"a": 1}, policy={"ttl": 315_360_001})
    with pytest.raises(exception.RecordTooBig):
        client.put(KEY, {"a": b"x" * 1024 * 1024})
    with pytest.raises(exception.NamespaceNotFound):
        client.put(("other", "cache", "k"), {"a": 1})
    double.records.expiring = False
    with pytest.raises(exception.ForbiddenError):
        client.put(KEY, {"a": 1}, policy={"ttl": 1})
    assert len(double.records) == 0
    client.put(KEY, {"a": 1}, policy={"ttl": aerospike.TTL_NEVER_EXPIRE})
    client.put(("test", "cache", "k2"), {"a": 1})
    assert len(double.records) == 2


def test_user_keys_are_kept_if_they_are_sent(double: AerospikeDouble, client: aerospike.Client) -> None:
    """Text has type 3; a write without the key leaves what is there."""
    client.put(KEY, {"a": 1}, policy={"key": aerospike.POLICY_KEY_SEND})
    client.put(KEY, {"a": 2})
    client.put(("test", "cache", "k2"), {"a": 1})
    kept = [double.records.at("test", bytes.fromhex(digest)) for digest in (K1, K2)]
    assert [record and record.user_key for record in kept] == [b"\x03k1", None]
    assert [record and record.set for record in kept] == [b"cache", b"cache"]


def test_batches_of_reads_and_writes(client: aerospike.Client) -> None:
    """Rows in the order of the keys, repeated ones too; a row's miss and a row's failure are its own."""
    keys = [("test", "cache", name) for name in ("a", "b", "c")]
    rows = [Write(key, [operations.write("v", n)], policy={"ttl": 50 + n}) for n, key in enumerate(keys[:2])]
    written = client.batch_write(BatchRecords(rows))
    assert [row.result for row in written.batch_records] == [0, 0]
    read = client.batch_read([keys[1], keys[2], keys[0], keys[1]], ["v"])
    assert [row.result for row in read.batch_records] == [0, 2, 0, 0]
    assert [row.record and row.record[2]["v"] for row in read.batch_records] == [1, None, 0, 1]
    assert 48 < read.batch_records[2].record[1]["ttl"] <= 50
    assert [row.result for row in client.batch_read(keys, []).batch_records] == [0, 0, 2]
    removed = client.batch_remove(keys)
    assert [row.result for row in removed.batch_records] == [0, 0, 2]


def test_queries_are_refused_at_once(client: aerospike.Client) -> None:
    """A dropped connection would have the client try for minutes."""
    with pytest.raises(exception.AerospikeError) as refused:
        client.query("test", "cache").results()
    assert refused.value.code == 4


def test_it_comes_back_on_the_same_port(double: AerospikeDouble, client: aerospike.Client) -> None:
    """Tests of recovery need the address to stay, and connections to end with the node."""
    client.put(KEY, {"a": 1})
    port = double.port
    double.stop()
    with pytest.raises(exception.AerospikeError):
        client.get(KEY)
    double.start()
    assert double.port == port
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert exchange(connection, bytes.fromhex(GET))[8 + 5] == 0
