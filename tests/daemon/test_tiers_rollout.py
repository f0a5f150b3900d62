"""Versions of a model that share one Redis: nobody ever gets another version's answer, and going back is cheap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from tests.support.daemon import Daemon, running
from tests.support.redis_server import redis_server
from tests.support.tier_config import PATIENT_MS, one_each
from tests.support.tier_story import TierStory
from tests.support.versions import publish, write_version
from tests.support.witness import Witness, witnessed

ROWS = range(50)


@dataclass(frozen=True, slots=True)
class Replica:
    """One daemon of the fleet, and the folder that it serves from."""

    daemon: Daemon
    served: Path

    @property
    def story(self) -> TierStory:
        return TierStory(self.daemon, "m", "m")


@contextmanager
def _fleet(folder: Path) -> Iterator[tuple[Replica, Replica, Redis]]:
    """Two replicas of version 1 on one Redis; ``v1`` and ``v2`` in ``folder`` are there to be published."""
    for version in (1, 2):
        write_version(folder / f"v{version}", version)
    with ExitStack() as stack:
        server = stack.enter_context(redis_server())
        replicas = []
        for name in ("a", "b"):
            served = folder / name
            served.mkdir()
            (served / "_SUCCESS").touch()
            publish(folder / "v1", served / "m.onnx")
            config = folder / f"{name}.yaml"
            text = one_each({"m": server.url}, timeout_ms=PATIENT_MS, url=f"{name}, ReadyFile: _SUCCESS")
            config.write_text(text)
            replicas.append(Replica(stack.enter_context(running(config)), served))
            replicas[-1].story.await_down(down=False)
        yield replicas[0], replicas[1], server.client


def _switch(replica: Replica, witness: Witness, artifact: Path, version: int) -> None:
    """Under load; from the swap on only ``version`` may answer."""
    since = len(replica.daemon.log)
    witness.versions |= {version}
    publish(artifact, replica.served / "m.onnx")
    replica.daemon.wait_for_log("m replaced", since=since)
    witness.versions = frozenset({version})


def test_two_versions_share_a_store_and_never_an_answer(tmp_path: Path) -> None:
    """A roll-out runs both for a while, and a rollback is the day on which every second counts."""
    with _fleet(tmp_path) as (one, two, redis):
        with witnessed(one.daemon, "m", ROWS) as of_one, witnessed(two.daemon, "m", ROWS) as of_two:
            of_one.await_hits("l1")
            of_two.await_hits("l1")
            one.daemon.wait_until(lambda: redis.dbsize() == len(ROWS))

            _switch(one, of_one, tmp_path / "v2", 2)
            of_one.await_hits("l1")
            of_two.await_hits("l1")
            one.daemon.wait_until(lambda: redis.dbsize() == 2 * len(ROWS))

            # The second finds what the first has computed for the new version: not a row is computed again.
            computed = two.story.lookups["l1", "miss"]
            _switch(two, of_two, tmp_path / "v2", 2)
            of_two.await_answers()
            of_two.await_hits("l1")
            assert two.story.lookups["l1", "miss"] == computed

            # And back again: what the old version left there is still good.
            computed = one.story.lookups["l1", "miss"]
            _switch(one, of_one, tmp_path / "v1", 1)
            of_one.await_answers()
            of_one.await_hits("l1")
            assert one.story.lookups["l1", "miss"] == computed
            assert redis.dbsize() == 2 * len(ROWS)
        assert one.story.lookups["l1", "error"] == two.story.lookups["l1", "error"] == 0
