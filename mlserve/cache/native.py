"""Our own layout: one entry of bytes for each row, in any store.

Name: ``mlserve:<generation in hex>:<key text>``, so that people can read it in the store's own tools. Where that would
be too long, or the text begins with ``#``, a ``#`` and a digest of the text stand for it, so no text can pass for a
digest. The entry holds the full key all the same: what answers another row is never taken for the answer to this one.

Entry, little endian: ``version (1 byte) | CRC-32 (4) | stored (8) | expires (8) | key length (4) | key | payload``. The
checksum begins with the version and covers all that follows it. Times are Unix time in milliseconds.

Clocks of machines differ. An entry stored up to :data:`MAX_SKEW_S` in the future counts as stored now; later ones are
damaged, for nobody can tell their age. No entry lives longer than it was given, however the clocks stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final
from zlib import crc32

from mlserve.cache.layout import GENERATION_BYTES, Damaged, Expired, Stored
from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES
from mlserve.types import Rows

VERSION: Final = 1

MAX_SKEW_S: Final = 60.0
"""How far ahead of ours another machine's clock may be."""

MAX_LIFE_S: Final = 10 * 365 * 86_400.0
"""Ten years: no entry is given more, and one that claims more is not ours."""

_SEAL: Final = Struct("<BI")
_TIMES_AND_KEY: Final = Struct("<QQI")
_HEAD: Final = Struct("<BIQQI")
"""Both of them."""
_KEY: Final = _HEAD.size
"""Where the key begins: the least that an entry has."""
_DIGEST_BYTES: Final = 32


class NativeLayout:
    """Implements ``Layout[bytes, bytes]``. The same for every model, for the keys carry the generation."""

    written_only: Final = None

    def names(self, keys: Sequence[bytes], rows: Rows) -> list[bytes | None]:
        """Every row has a place, under at most ``MAX_NAME_BYTES``."""
        return [_name(key) for key in keys]

    def read(self, key: bytes, value: bytes, now: float) -> Stored:
        if not _KEY <= len(value) <= MAX_VALUE_BYTES:
            raise Damaged(f"an entry of {len(value)} bytes, expected {_KEY} to {MAX_VALUE_BYTES}")
        version, checksum, stored_ms, expires_ms, key_bytes = _HEAD.unpack_from(value)
        if version != VERSION:
            raise Damaged(f"an entry of version {version}, expected {VERSION}")
        # A copy of what is mostly a few hundred bytes is quicker than a view of it.
        if crc32(value[_SEAL.size :], version) != checksum:
            raise Damaged("the checksum does not fit the entry")
        if key_bytes != len(key) or not value.startswith(key, _KEY):
            raise Damaged("the entry answers another row")
        life_s, age_s = (expires_ms - stored_ms) / 1000, now - stored_ms / 1000
        if not 0 <= age_s < life_s <= MAX_LIFE_S:
            age_s = _age_of(life_s, age_s)
        return Stored(value[_KEY + key_bytes :], life_s - age_s, age_s)

    def write(self, key: bytes, payload: bytes, now: float, life_s: float) -> bytes | None:
        """``None`` for an entry of more than ``MAX_VALUE_BYTES``."""
        if _KEY + len(key) + len(payload) > MAX_VALUE_BYTES:
            return None
        stored_ms = int(now * 1000)
        expires_ms = stored_ms + int(min(life_s, MAX_LIFE_S) * 1000)
        sealed = b"".join((_TIMES_AND_KEY.pack(stored_ms, expires_ms, len(key)), key, payload))
        return _SEAL.pack(VERSION, crc32(sealed, VERSION)) + sealed


def _name(key: bytes) -> bytes:
    stem, text = _stem(key[:GENERATION_BYTES]), key[GENERATION_BYTES:]
    name = stem + text
    if len(name) <= MAX_NAME_BYTES and not text.startswith(b"#"):
        return name
    return b"%b#%b" % (stem, blake2b(text, digest_size=_DIGEST_BYTES).hexdigest().encode())


@lru_cache(maxsize=64)
def _stem(generation: bytes) -> bytes:
    """The same for all rows of a version."""
    return b"mlserve:%b:" % generation.hex().encode()


def _age_of(life_s: float, age_s: float) -> float:
    """The age that counts, of an entry whose times are not in order. Raises what is wrong with them."""
    if not 0 <= life_s <= MAX_LIFE_S:
        raise Damaged(f"a life of {life_s:.0f} s, expected 0 to {MAX_LIFE_S:.0f}")
    if age_s < 0:
        if age_s < -MAX_SKEW_S:
            raise Damaged(f"stored {-age_s:.0f} s in the future: set the clocks of the machines that share this store")
        age_s = 0.0
    if age_s >= life_s:
        raise Expired(f"its time was up {age_s - life_s:.0f} s ago")
    return age_s
