"""An outage of an external tier under load, from before it begins until the tier is used again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mlserve.cache.connection import FAILURES
from tests.support.daemon import Daemon
from tests.support.tier_story import TierStory
from tests.support.witness import CONNECTIONS, Witness, slow_share, witnessed

ROWS: Final = 50
MOST_ERRORS: Final = FAILURES * CONNECTIONS
"""Rows that may wait for a tier in vain before nobody asks it any more."""
SLOWER: Final = 0.05
"""The share of requests that may be slow on a bad day and were not before: what a busy machine does to any."""

Count = Callable[[], int]


def outage(
    daemon: Daemon,
    day: str,
    begin: Callable[[], object],
    end: Callable[[], object],
    *,
    said: str,
    served: Count,
    asked: Count = lambda: 0,
) -> int:
    """``day`` names the connection and the one model that uses it, which has no other tier.

    ``said`` is what the log says at the beginning. ``served`` counts reads that the store answered. Answers by how much
    ``asked`` grew while the connection was down.
    """
    story = TierStory(daemon, day, day)
    with witnessed(daemon, day, range(ROWS)) as witness:
        witness.await_hits("l1")
        before, counted = witness.await_answers(), story.lookups
        begin()
        story.await_down(down=True)
        amid = witness.await_answers()
        found, questions = story.lookups, asked()
        amid += witness.await_answers()
        questions = asked() - questions
        still = story.lookups
        end()
        is_used_again(story, witness, served)
    assert found["l1", "error"] - counted["l1", "error"] <= MOST_ERRORS
    for result in ("miss", "error"):
        assert still["l1", result] == found["l1", result], f"a {result} while nobody should ask"
    assert slow_share(amid) <= 2 * slow_share(before) + SLOWER
    assert story.writes["dropped"] == 0
    story.tells(said, "works again after .* s")
    return questions


def is_used_again(story: TierStory, witness: Witness, served: Count) -> None:
    """All rows come from the store: what was in line for it is written, and no longer read there."""
    story.await_down(down=False)
    before = served()
    witness.wait_until(lambda: served() >= before + ROWS)
    witness.await_hits("l1")
