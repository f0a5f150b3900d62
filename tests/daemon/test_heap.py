"""Collections would go on walking over everything that was ever imported."""

from __future__ import annotations

import gc

from mlserve.daemon.heap import freeze_heap


def test_what_is_there_is_frozen() -> None:
    """Afterwards the collector has next to nothing to visit."""
    before = gc.get_freeze_count()
    try:
        freeze_heap()
        assert gc.get_freeze_count() > before + 10_000
        assert len(gc.get_objects()) < 10_000
    finally:
        gc.unfreeze()
