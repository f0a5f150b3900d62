"""``/v1/api/metric/…``: the operations of :mod:`mlserve.observe.operations` in gmetric's JSON, as mly answers it.

Members stand in gmetric's order; ``Count`` and ``Pct`` are left out when 0. Times are microseconds.
"""

from __future__ import annotations

from math import isinf
from typing import Any, Final

import orjson

from mlserve.config.schema import Config
from mlserve.errors import UnknownRoute
from mlserve.observe.meters import Period
from mlserve.observe.metrics import Metrics
from mlserve.observe.operations import Key, Operation, Reading, operations
from mlserve.transport.message import HttpRequest, HttpResponse

BASE: Final = "/v1/api/metric/"
OPERATION: Final = f"{BASE}operation/"
COUNTER: Final = f"{BASE}counter/"
_PCT: Final = ".pct"


class Gmetric:
    """Answers the routes; the administrative table says who may ask."""

    def __init__(self, metrics: Metrics, config: Config) -> None:
        self._metrics = metrics
        self._config = config

    def configure(self, config: Config) -> None:
        """Datastores, and which models use them, may have changed."""
        self._config = config

    def operations(self, request: HttpRequest) -> HttpResponse:
        """``GET …/operations``: all of them."""
        self._metrics.turn()
        return _json([self._document(operation) for operation in operations(self._metrics, self._config)])

    def operation(self, request: HttpRequest) -> HttpResponse:
        """``GET …/operation/<name>`` and below. Unknown names are ``null``, and 0 for a single number."""
        self._metrics.turn()
        name, *rest = request.path.removeprefix(OPERATION).split("/")
        found = next((one for one in operations(self._metrics, self._config) if one.name == name), None)
        match rest:
            case []:
                return _json(found and self._document(found))
            case ["recent"]:
                return _json(found and _members(found.read(Period.CURRENT)))
            case [("cumulative" | "recent") as which, metric]:
                period = Period.ALL if which == "cumulative" else Period.CURRENT
                return _json(_number(found.read(period), metric) if found else 0)
        raise UnknownRoute(
            f"below {OPERATION} there are <name>, <name>/recent, <name>/recent/<metric> and <name>/cumulative/<metric>"
        )

    def counters(self, request: HttpRequest) -> HttpResponse:
        """``GET …/counters``: those of mly belong to its stream log, which does not exist here."""
        return _json([])

    def counter(self, request: HttpRequest) -> HttpResponse:
        """``GET …/counter/<name>``: unknown, whatever the name."""
        return _json(None)

    def _document(self, operation: Operation) -> dict[str, Any]:
        return {
            "Location": operation.location,
            "Name": operation.name,
            "Description": operation.description,
            **_members(operation.read(Period.ALL)),
            "Recent": [_members(operation.read(period)) for period in self._recent(operation)],
            "Unit": "1µs",
            "RecentUnit": "1m0s",
        }

    def _recent(self, operation: Operation) -> list[Period]:
        """Minutes take turns in the places of ``Recent``, as in gmetric: even ones stand first."""
        if operation.minutes == 1:
            return [Period.CURRENT]
        places = [Period.CURRENT, Period.PREVIOUS]
        return places[::-1] if self._metrics.minute % 2 else places


def _members(reading: Reading) -> dict[str, Any]:
    members: dict[str, Any] = {} if reading.count == 0 else {"Count": reading.count}
    return members | {
        "Custom": reading.custom,
        "Counters": None if reading.keys is None else [_counter(key, reading.count) for key in reading.keys],
        "TimeTaken": _time(reading, "timeTaken"),
        "Max": _time(reading, "max"),
        "Min": _time(reading, "min"),
        "Avg": _time(reading, "avg"),
    }


def _counter(key: Key, count: int) -> dict[str, Any]:
    member: dict[str, Any] = {"Value": key.name}
    if key.count:
        member["Count"] = key.count
    member["Custom"] = None if key.peak is None else {"Max": key.peak} if key.peak else {}
    if share := _share(key, count):
        member["Pct"] = share
    return member


def _number(reading: Reading, metric: str) -> int:
    if metric == "count":
        return reading.count
    if metric in ("min", "max", "avg", "timeTaken"):
        return _time(reading, metric)
    for key in reading.keys or ():
        if metric == key.name:
            return key.count
        if metric == key.name + _PCT:
            return _share(key, reading.count)
    return 0


def _share(key: Key, count: int) -> int:
    return 100 * key.count // count if count else 0


def _time(reading: Reading, metric: str) -> int:
    span = reading.span
    match metric:
        case "timeTaken":
            seconds = span.total
        case "max":
            seconds = span.high
        case "min":
            seconds = 0.0 if isinf(span.low) else span.low
        case _:
            return _time(reading, "timeTaken") // reading.count if reading.count else 0
    return int(round(seconds * 1e6, 3))


def _json(value: object) -> HttpResponse:
    return HttpResponse(200, orjson.dumps(value) + b"\n")
