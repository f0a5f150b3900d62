"""mly's Go client over HTTP/1.1: what it fetches, what it looks up, what it sends, what it keeps.

Not here: negative entries, lives, retries and breakers, which the server has no part in. Its Aerospike client is the
official one.
"""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aerospike
import orjson
from aerospike.exception import RecordNotFound

from tests.support import mly_message
from tests.support.mly_message import Value
from tests.support.mly_rule import KeyRule

_PATIENCE_S: Final = 30.0


class Refused(Exception):
    """Any status but 200: ``HTTP Code:429, Body:…``, as the client words it."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP Code:{status}, Body:{body!r}")
        self.status = status
        self.document = orjson.loads(body)


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is ``cached`` if the server was not asked; ``dict_hash`` is 0 without a dictionary."""

    status: str
    data: Any
    dict_hash: int


class Session:
    """A client of one model, made as ``New`` makes it: configuration, dictionary, caches.

    ``shares`` is False for a client without the scope L1; ``validates`` is its ``WithHashValidation``. ``posted`` are
    the bodies sent, ``fetches`` how often the dictionary was fetched.
    """

    def __init__(self, port: int, model: str, *, shares: bool = True, validates: bool = False) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        self._path = f"/v1/api/model/{model}"
        self._validates = validates
        self.posted: list[bytes] = []
        self.fetches = 0
        status, _, body = self._exchange("GET", "/meta/config", None)
        assert status == 200, body
        self.config: dict[str, Any] = orjson.loads(body)
        self.fetch_dictionary()
        self._local: dict[bytes, Answer] | None = {} if self.config["Cache"] is not None else None
        self._l1 = self._connected() if shares and self.config.get("Connection") else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()
        if self._l1 is not None:
            self._l1.close()

    @property
    def hash(self) -> int:
        """Of the dictionary that the client holds; 0 if there is none."""
        return self.dictionary["Hash"] if self.dictionary else 0

    def fetch_dictionary(self) -> None:
        """Compressed, whether or not it was asked for."""
        self.fetches += 1
        status, headers, body = self._exchange("GET", "/meta/dictionary", None)
        assert (status, headers["Content-Encoding"]) == (200, "gzip")
        self.dictionary: dict[str, Any] | None = orjson.loads(gzip.decompress(body))
        self.rule = KeyRule(self.config, self.dictionary)

    def run(self, **values: Value) -> Answer:
        """One row."""
        key = self.rule.key(values)
        if (held := self._held(key)) is not None:
            return held
        sent = {name: self.rule.sent(name, value) for name, value in values.items()}
        answer = self._post(mly_message.one_row(sent, key))
        self._keep(key, answer.data)
        self._follow(answer)
        return answer

    def run_batch(self, size: int, **columns: Sequence[Value]) -> Answer:
        """Many rows, of which only those are sent that no cache has."""
        keys = self.rule.keys(size, columns)
        held = [self._held(key) for key in keys]
        missing = [row for row, found in enumerate(held) if found is None]
        if not missing:
            return Answer("cached", [found.data for found in held if found is not None], self.hash)
        sent = {name: [self.rule.sent(name, value) for value in column] for name, column in columns.items()}
        answer = self._post(mly_message.batch(size, sent, keys, missing))
        answered = iter(answer.data)
        rows = [next(answered) if found is None else found.data for found in held]
        assert next(answered, None) is None, "more rows than were asked for"
        for row in missing:
            self._keep(keys[row], rows[row])
        self._follow(answer)
        return Answer(answer.status, rows, answer.dict_hash)

    def get(self, query: str) -> Answer:
        """By query, as people do."""
        return self._answer(*self._exchange("GET", f"/eval?{query}", None))

    def send(self, body: bytes) -> Answer:
        """A body of the caller's own."""
        return self._post(body)

    def record(self, key: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Bins and metadata of the record in L1 under ``key``."""
        assert self._l1 is not None, "this client has no L1"
        try:
            _, meta, bins = self._l1.get((self.config["Namespace"], self.config["Dataset"], key.decode()))
        except RecordNotFound:
            return None
        return bins, meta

    def _held(self, key: bytes) -> Answer | None:
        """From memory, then from L1, whose hits memory keeps. An entry without a hash is good for ever."""
        if not self.config["ID"]:
            return None
        found = self._local.get(key) if self._local is not None else None
        if found is None and self._l1 is not None and (record := self.record(key)) is not None:
            bins = dict(record[0])
            found = Answer("cached", bins, bins.pop("dictHash", 0))
            if self._local is not None:
                self._local[key] = found
        if found is None or (self._validates and found.dict_hash not in (0, self.hash)):
            return None
        return found

    def _keep(self, key: bytes, data: Any) -> None:
        """Under the hash of the dictionary that is held, which may no longer be the answer's."""
        if self.config["ID"] and self._local is not None:
            self._local[key] = Answer("cached", data, self.hash)

    def _follow(self, answer: Answer) -> None:
        if answer.dict_hash != self.hash:
            self.fetch_dictionary()

    def _post(self, body: bytes) -> Answer:
        self.posted.append(body)
        return self._answer(*self._exchange("POST", "/eval", body))

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        if status != 200:
            raise Refused(status, body)
        document = orjson.loads(body)
        assert document["status"] == "ok"
        return Answer("ok", document["data"], document.get("dictHash", 0))

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
        self._http.request(method, self._path + path, body, headers)
        response = self._http.getresponse()
        return response.status, response.headers, response.read()

    def _connected(self) -> Any:
        (link,) = (it for it in self.config["Connections"] if it["ID"] == self.config["Connection"])
        hosts = [(host, link["Port"]) for host in link["Hostnames"].split(",")]
        return aerospike.client({"hosts": hosts, "policies": {"read": {"total_timeout": int(_PATIENCE_S * 1000)}}})
