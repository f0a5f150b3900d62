"""Secrets out of text: whatever shows a URL, an exception or a setting sends it through here first."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"

SECRET_NAME: Final = re.compile(r"pass|pwd|token|secret|credential|auth|key|sign|^sig$|accessid", re.IGNORECASE)

_SCHEME: Final = re.compile(r"[A-Za-z][\w+.\-]{0,30}://")
_WRAPPERS: Final = frozenset({"zip", "tar", "libarchive", "reference", "simplecache", "filecache", "blockcache"})
"""Schemes that stand in front of ``::`` in a chained URL; they have no user info, so the next link is looked at."""

_WORD: Final = re.compile(r"\S+")
_PARAMETER: Final = re.compile(r"(?P<before>[?&;#])(?P<name>[^=&;#?\s]+)=[^&\s]*")


def redact_url(text: str) -> str:
    """``text`` with user info and secret-looking query parameters of every URL in it replaced by ``***``.

    ``text`` may be one URL, a chain (``zip://a::https://u:p@host/b.zip``) or prose such as an exception's message.
    Where a URL ends is only known by white space, so what is hidden may be more than the secret, never less.
    """
    return _PARAMETER.sub(_hide_secret, _WORD.sub(_hide_user_info, text))


def redact_value(value: str) -> str:
    """As :func:`redact_url` for one whole value: white space in it does not end a URL's user info."""
    scheme, found, rest = value.partition("://")
    if found and "@" in rest and any(map(str.isspace, rest)):
        value = f"{scheme}://{HIDDEN}@{rest.rpartition('@')[2]}"
    return redact_url(value)


def _hide_user_info(word: re.Match[str]) -> str:
    """``word`` without the user info of its URLs. Time is linear in its length: log lines hold what clients send."""
    text = word[0]
    if "://" not in text or "@" not in text:
        return text
    shown = ""
    while (scheme := _SCHEME.search(text)) and scheme[0].removesuffix("://").lower() in _WRAPPERS and "::" in text:
        link, seam, text = text.partition("::")
        shown += link + seam
    return shown + _hide_in_link(text)


def _hide_in_link(link: str) -> str:
    # User info ends at the *last* @: a password may hold @, / or :// that somebody forgot to escape.
    scheme, end = _SCHEME.search(link), link.rfind("@")
    if scheme is None or end < scheme.end():
        return link
    # An @ after ?token= may as well stand in the token's value: then what follows it is hidden, too.
    if any(SECRET_NAME.search(found["name"]) for found in _PARAMETER.finditer(link, scheme.end(), end)):
        return link[: scheme.end()] + HIDDEN + "".join(link[end:].partition("&")[1:])
    return link[: scheme.end()] + HIDDEN + link[end:]


def _hide_secret(match: re.Match[str]) -> str:
    return f"{match['before']}{match['name']}={HIDDEN}" if SECRET_NAME.search(match["name"]) else match[0]
