"""Secrets out of everything that is shown: URLs in logs, errors and pages, and the configuration as a whole."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from mlserve.config.schema import Config, DatastoreConfig, ModelConfig, Section

HIDDEN: Final = "***"

_SECRET_NAME: Final = re.compile(r"pass|pwd|token|secret|credential|auth|key|sign|^sig$|accessid", re.IGNORECASE)

# User info ends at the *last* @ of the word: a password may hold @, / or :// that somebody forgot to escape. Only
# `::scheme://`, the seam of a chained URL, ends the search early.
_USER_INFO: Final = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.\-]*://)(?P<user_info>(?:(?!::[A-Za-z][\w+.\-]*://)\S)*)@(?P<rest>[^&\s]*)"
)
_PARAMETER: Final = re.compile(r"(?P<before>[?&;#])(?P<name>[^=&;#?\s]+)=[^&\s]*")


def redact_url(text: str) -> str:
    """``text`` with user info and secret-looking query parameters of every URL in it replaced by ``***``.

    ``text`` may be one URL, a chain (``zip://a::https://u:p@host/b.zip``) or prose such as an exception's message.
    Where a URL ends is only known by white space, so what is hidden may be more than the secret, never less.
    """
    return _PARAMETER.sub(_hide_secret, _USER_INFO.sub(_hide_user_info, text))


def redact_value(value: str) -> str:
    """As :func:`redact_url` for one whole value: white space in it does not end a URL's user info."""
    scheme, found, rest = value.partition("://")
    if found and "@" in rest and any(map(str.isspace, rest)):
        value = f"{scheme}://{HIDDEN}@{rest.rpartition('@')[2]}"
    return redact_url(value)


def public_view(config: Config, *, live: Mapping[str, Mapping[str, object]] | None = None) -> dict[str, object]:
    """The processed configuration as ``GET /v1/api/config/`` shows it: mly's member names and order, ours after them.

    Durations are integers: in the unit their name ends in (``…Ms``, ``…Micros``), else nanoseconds. Members without a
    value are left out. ``live`` adds members that change while serving (``Modified``, ``DictMeta``) by model ID.
    Every value is plain JSON and free of secrets; non-finite floats are text.
    """
    return _section(config, live or {})


def _section(section: Section, live: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    fields = type(section).model_fields
    first = ("id", "cache") if isinstance(section, DatastoreConfig) else ()
    view: dict[str, object] = {}
    for attribute in (*first, *(name for name in fields if name not in first)):
        if isinstance(section, ModelConfig) and attribute == "test":
            view.update({name: _plain(value, name, {}) for name, value in live.get(section.id, {}).items()})
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
                str(key): HIDDEN if isinstance(item, str) and _SECRET_NAME.search(str(key)) else _plain(item, "", live)
                for key, item in value.items()
            }
        case str():
            return redact_value(value)
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value


def _hide_user_info(match: re.Match[str]) -> str:
    # An @ after ?token= may as well stand in the token's value: then what follows it is hidden, too.
    in_a_secret = any(_SECRET_NAME.search(found["name"]) for found in _PARAMETER.finditer(match["user_info"] + "@"))
    return match["scheme"] + (HIDDEN if in_a_secret else f"{HIDDEN}@{match['rest']}")


def _hide_secret(match: re.Match[str]) -> str:
    return f"{match['before']}{match['name']}={HIDDEN}" if _SECRET_NAME.search(match["name"]) else match[0]
