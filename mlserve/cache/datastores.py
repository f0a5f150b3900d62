"""What the datastores of a process keep: a memory tier for each that has a ``Cache``, and the external tiers.

Memory tiers outlive reloads of models and of the configuration: a datastore whose size has not changed keeps its
entries. The external ones live as long as they are used (:mod:`mlserve.cache.external`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from mlserve import registry
from mlserve.cache.external import External
from mlserve.config.schema import DatastoreConfig
from mlserve.contracts.memory import Memory

ASIDE: Final = 8
"""One part in so many of a memory tier's size is for requests that are known by their very bytes."""


class Datastores:
    """Made once per process; :meth:`apply` follows the configuration.

    ``came`` is told a datastore's id and its new memory tier, ``went`` the id of one that has none any more.
    """

    def __init__(
        self,
        came: Callable[[str, Any], None] = lambda datastore_id, memory: None,
        went: Callable[[str], None] = lambda datastore_id: None,
        external: External | None = None,
    ) -> None:
        self.external = external or External()
        self._came = came
        self._went = went
        self._memories: dict[str, tuple[int, Memory]] = {}

    @property
    def aside_bytes(self) -> int:
        """What the sizes of the memory tiers leave for requests that are known by their bytes."""
        return sum([size // ASIDE for size, _ in self._memories.values()])

    def apply(self, configs: Sequence[DatastoreConfig]) -> None:
        """Drop what ``configs`` no longer holds; tiers of theirs are made when the first model asks."""
        sizes = {config.id: size_bytes(config) for config in configs}
        for datastore_id, (size, _) in list(self._memories.items()):
            if sizes.get(datastore_id) != size:
                del self._memories[datastore_id]
                self._went(datastore_id)

    def memory(self, config: DatastoreConfig) -> Memory | None:
        """The memory tier of this datastore; ``None`` if it has none."""
        size = size_bytes(config)
        if not size:
            return None
        held = self._memories.get(config.id)
        if held is not None and held[0] == size:
            return held[1]
        memory: Memory = registry.resolve("stores", "memory")(size - size // ASIDE)
        self._memories[config.id] = (size, memory)
        self._came(config.id, memory)
        return memory


def size_bytes(config: DatastoreConfig) -> int:
    """What the memory tier may take; 0 for no such tier."""
    return 0 if config.cache is None or config.disabled else config.cache.size_mb * 1024 * 1024


def has_tiers(config: DatastoreConfig) -> bool:
    """True if anything can be kept."""
    return bool(size_bytes(config)) or (not config.disabled and bool(config.connection or config.l2))
