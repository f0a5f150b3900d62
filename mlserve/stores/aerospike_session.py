"""The blocking half of the Aerospike store: one client, and what to make of its answers.

Imported, made and used in threads only. Every call ends by its own timeout, and may run beside any other but ``close``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from time import monotonic
from typing import Any, Final

import aerospike
from aerospike import exception
from aerospike_helpers.batch.records import BatchRecords, Write  # type: ignore[import-untyped]
from aerospike_helpers.operations import operations  # type: ignore[import-untyped]

from mlserve.contracts.store import Record, StoreFault, StoreOptions
from mlserve.stores.aerospike_address import Address
from mlserve.stores.aerospike_bins import ENTRY_BIN, Key, Row, entry, record
from mlserve.stores.aerospike_faults import NO_RESPONSE, NOT_FOUND, OK, SOME_FAILED, UNREADABLE, fault

TEND_MS: Final = 250
"""How often the client looks after the cluster: the least it takes. A node that came back is used again after this."""
KEYS_PER_BATCH: Final = 5000
"""What a server takes unless it is told otherwise (``batch-max-requests``)."""
MAX_TTL_S: Final = 315_360_000
"""Ten years: a server takes no longer life."""
SHARE_OF_PATIENCE: Final = 0.8
"""Of the read timeout: after this, what is not read yet is a miss, so that what is read still comes in time."""

UNREAD: Final = (exception.AerospikeError, SystemError)
"""A single read ends with these; the second for a name of a bin that is not UTF-8."""


class Session:
    """Connects when made, and raises :class:`StoreFault` if it cannot. :meth:`close` it when nothing else runs."""

    def __init__(self, address: Address, options: StoreOptions) -> None:
        self._patience_s = options.read_timeout_s * SHARE_OF_PATIENCE
        # The C core would print to standard error what our errors say too.
        aerospike.set_log_level(aerospike.LOG_LEVEL_OFF)
        try:
            self._client = aerospike.client(_config(address, options))
        except exception.AerospikeError as error:
            raise fault(error.code, error.msg) from error
        if not self._client.is_connected():
            self._client.close()
            raise StoreFault("none of these hosts answers as a node of Aerospike")

    def entries(self, keys: Sequence[Key]) -> list[bytes | StoreFault | None]:
        """The entry under each of the distinct ``keys``, ``None`` for none, or why it could not be read.

        Only our bin is asked for, so that what others keep beside it can do no harm: see :meth:`records`.
        """
        if len(keys) == 1:
            return [self._entry(keys[0])]
        found: list[bytes | StoreFault | None] = []
        for start in range(0, len(keys), KEYS_PER_BATCH):
            part = list(keys[start : start + KEYS_PER_BATCH])
            found += self._batch(part)
        return found

    def records(self, keys: Sequence[Key]) -> list[Record | StoreFault | None]:
        """As :meth:`entries`. One by one: a record with text that is not UTF-8 ends the process in a batch.

        (Client 19.3.0, any batch call, bin of any name; a single read raises.) A fault is not asked for again and
        again: the keys after it have it too.
        """
        ends_at = monotonic() + self._patience_s
        found: list[Record | StoreFault | None] = []
        for key in keys:
            late = found and monotonic() > ends_at
            outcome = fault(9, f"{len(found)} of {len(keys)} records came") if late else self._record(key)
            found.append(outcome)
            if isinstance(outcome, StoreFault):
                return found + [outcome] * (len(keys) - len(found))
        return found

    def write(self, rows: Sequence[Row]) -> None:
        """Store all of ``rows``, whose keys are distinct. Raises :class:`StoreFault`; some may then be stored."""
        try:
            batch = self._client.batch_write(BatchRecords([_write(row) for row in rows]))
        except exception.AerospikeError as error:
            raise fault(error.code, error.msg, writing=True) from error
        if len(batch.batch_records) != len(rows):
            raise fault(batch.result, writing=True)
        faults = [_row_fault(batch, row, writing=True) for row in batch.batch_records if row.result != OK]
        # What a server refused it refuses again: only what it may never have seen is worth another try.
        faults.sort(key=lambda one: type(one) is not StoreFault)
        if faults:
            raise faults[0]

    def probe(self, namespaces: Sequence[str]) -> None:
        """Raises :class:`StoreFault` unless records of all ``namespaces`` can be read, or the node answers at all."""
        try:
            for namespace in namespaces:
                self._client.exists((namespace, ENTRY_BIN, "probe"))
            if not namespaces:
                self._client.info_random_node("node")
        except exception.AerospikeError as error:
            raise fault(error.code, error.msg) from error

    def close(self) -> None:
        """Ends the client's connections and threads; takes the connect timeout at most."""
        self._client.close()

    def _batch(self, keys: list[Key]) -> list[bytes | StoreFault | None]:
        try:
            batch = self._client.batch_read(keys, [ENTRY_BIN])
        except exception.AerospikeError as error:
            return [fault(error.code, error.msg)] * len(keys)
        # A client without a node answers with no rows at all.
        if len(batch.batch_records) != len(keys):
            return [fault(batch.result)] * len(keys)
        return [_outcome(batch, row) for row in batch.batch_records]

    def _entry(self, key: Key) -> bytes | StoreFault | None:
        try:
            _, _, bins = self._client.select(key, [ENTRY_BIN])
        except UNREAD as error:
            return _unread(error)
        return entry(bins)

    def _record(self, key: Key) -> Record | StoreFault | None:
        try:
            _, meta, bins = self._client.get(key)
        except UNREAD as error:
            return _unread(error)
        return record(bins, meta["ttl"])


def _config(address: Address, options: StoreOptions) -> dict[str, object]:
    read, write = _limits(options.read_timeout_s), _limits(options.write_timeout_s)
    return {
        "hosts": list(address.hosts),
        "validate_keys": True,
        # Seeds are tried one after the other: together they may take what the configuration gives one connection.
        "connect_timeout": _ms(options.connect_timeout_s / len(address.hosts)),
        # With more than one, this would fail if any of them is away. With one, it says why.
        "fail_if_not_connected": len(address.hosts) == 1,
        "tend_interval": TEND_MS,
        "policies": {
            "read": read,
            "batch": read,
            "batch_parent_write": write,
            "info": {"timeout": _ms(options.read_timeout_s)},
        },
    }


def _limits(seconds: float) -> dict[str, int]:
    # Without a delay, a connection whose answer is late is closed rather than kept until the answer may have come.
    return {"total_timeout": _ms(seconds), "socket_timeout": _ms(seconds), "max_retries": 0, "timeout_delay": 0}


def _ms(seconds: float) -> int:
    # 0 would be no limit.
    return max(1, round(seconds * 1000))


def _unread(error: Exception) -> StoreFault | None:
    if isinstance(error, exception.AerospikeError) and error.code not in (NOT_FOUND, UNREADABLE):
        return fault(error.code, error.msg)
    return None


def _outcome(batch: Any, row: Any) -> bytes | StoreFault | None:
    if row.result == OK:
        return entry(row.record[2])
    return None if row.result == NOT_FOUND else _row_fault(batch, row)


def _row_fault(batch: Any, row: Any, *, writing: bool = False) -> StoreFault:
    # A row that was not answered does not say why; its batch does.
    unanswered = row.result == NO_RESPONSE and batch.result not in (OK, SOME_FAILED)
    return fault(batch.result if unanswered else row.result, row.message, writing=writing)


def _write(row: Row) -> Any:
    return Write(
        row.key,
        [operations.write(name, value) for name, value in row.bins.items()],
        policy={
            "ttl": min(max(1, ceil(row.ttl_s)), MAX_TTL_S),
            "exists": aerospike.POLICY_EXISTS_CREATE_OR_REPLACE,
            "key": aerospike.POLICY_KEY_SEND if row.named else aerospike.POLICY_KEY_DIGEST,
        },
    )
