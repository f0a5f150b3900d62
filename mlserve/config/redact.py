"""The configuration as it may be shown: ``GET /v1/api/config/``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta

from mlserve.config.masking import HIDDEN, SECRET_NAME, redact_url, redact_value
from mlserve.config.schema import Config, ConnectionConfig, DatastoreConfig, ModelConfig, Section

__all__ = ["public_view", "redact_url"]


def public_view(config: Config, *, live: Mapping[str, Mapping[str, object]] | None = None) -> dict[str, object]:
    """The processed configuration as ``GET /v1/api/config/`` shows it: mly's member names and order, ours after them.

    Durations are integers: in the unit their name ends in (``…Ms``, ``…Micros``), else nanoseconds. Members without a
    value are left out. ``live`` adds members that change while serving (``Modified``, ``DictMeta``) by model ID.
    Every value is plain JSON and free of secrets; non-finite floats and integers over 64 bits are text.
    """
    return _section(config, live or {})


def _section(section: Section, live: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    fields = type(section).model_fields
    first = ("id", "cache") if isinstance(section, DatastoreConfig) else ()
    view: dict[str, object] = {}
    for attribute in (*first, *(name for name in fields if name not in first)):
        if isinstance(section, ModelConfig) and attribute == "test":
            view.update({name: _plain(value, name, {}) for name, value in live.get(section.id, {}).items()})
        if isinstance(section, ConnectionConfig) and attribute == "port" and section.hostnames is None:
            continue
        value, name = getattr(section, attribute), fields[attribute].alias or attribute
        if value is None or value in ("", (), {}) or (value is False and fields[attribute].default is False):
            continue
        view[name] = _plain(value, name, live)
    return view


def _plain(value: object, name: str, live: Mapping[str, Mapping[str, object]]) -> object:
    match value:
        case Section():
            return _section(value, live)
        case timedelta():
            unit = timedelta(milliseconds=1) if name.endswith("Ms") else timedelta(microseconds=1)
            count = value // unit
            return count if name.endswith(("Ms", "Micros")) else count * 1000
        case list() | tuple():
            return [_plain(item, name, live) for item in value]
        case Mapping():
            return {
                str(key): HIDDEN if isinstance(item, str) and SECRET_NAME.search(str(key)) else _plain(item, "", live)
                for key, item in value.items()
            }
        case str():
            return redact_value(value).encode("utf-8", "replace").decode()
        case float() if not math.isfinite(value):
            return str(value)
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case _:
            return value
