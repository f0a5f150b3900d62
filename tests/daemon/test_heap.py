"""Every request would now and then wait for a walk over all that was ever loaded, if this failed."""

from __future__ import annotations

import gc

from mlserve.daemon.heap import YOUNG_OBJECTS, freeze_heap


def test_what_is_there_is_frozen_and_the_young_are_left_alone_for_longer() -> None:
    """The collector no longer sees it, and looks at what comes after it more seldom."""
    before, thresholds = gc.get_freeze_count(), gc.get_threshold()
    try:
        freeze_heap()
        assert gc.get_freeze_count() > before + 10_000
        assert len(gc.get_objects()) < 10_000
        assert gc.get_threshold() == (YOUNG_OBJECTS, *thresholds[1:])
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
