"""All that are compared, in the order in which they take turns."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.bare import AIOHTTP, PROTOCOL
from benchmarks.peers.litserve import LITSERVE
from benchmarks.peers.mlserver import MLSERVER
from benchmarks.peers.ours import MLSERVE
from benchmarks.peers.peer import Peer
from benchmarks.peers.triton import TRITON

PEERS: Final[tuple[Peer, ...]] = (MLSERVE, TRITON, MLSERVER, LITSERVE, PROTOCOL, AIOHTTP)
