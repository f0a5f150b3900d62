"""What has loaded once lives on: the garbage collector need not look at it again and again.

With TensorFlow imported a full collection walks over a million objects, and every request waits for it. Objects that
are frozen are still freed when nothing refers to them, as those of a replaced model are; only cycles among them stay.
"""

from __future__ import annotations

import gc


def freeze_heap() -> None:
    """Called once, when the first loads have ended. Blocks for one collection."""
    gc.collect()
    gc.freeze()
