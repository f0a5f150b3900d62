"""A swap would send all traffic to the model at once, or hang on its warm-up, if these failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from mlserve.cache.key import KeyMaker
from mlserve.cache.unkey import rows_from_keys
from mlserve.config.schema import ReloadConfig
from mlserve.errors import BadRequest, DeadlineExceeded
from mlserve.inference.canonical import canonical
from mlserve.serving.deployment import Deployment
from mlserve.serving.warming import CHUNK_ROWS, warm
from mlserve.types import Context, DType, InputField, Interface, Lookups, Rows
from mlserve.values.canonical import canonical_rows
from tests.support.deployments import FakeView, deployment, double, interface, rows
from tests.support.vocabularies import words


class New:
    """A version to be warmed: remembers what went through it."""

    def __init__(self, **members: Any) -> None:
        self.seen: list[list[float]] = []
        self.deadlines: list[float] = []
        self.before: Any = None
        self.version = deployment(self._predict, cache=FakeView(not_cached=None), **members)

    async def _predict(self, asked: Rows, context: Context) -> Rows:
        self.seen.append(asked.columns["x"].tolist())
        self.deadlines.append(context.deadline)
        if self.before is not None:
            await self.before(asked, context)
        return await double(asked, context)

    @property
    def rows(self) -> list[float]:
        return [value for chunk in self.seen for value in chunk]


def old(count: int, **members: Any) -> tuple[Deployment, FakeView]:
    view = FakeView(not_cached=None, hot=[str(float(number)) for number in range(count)], **members)
    return deployment(cache=view), view


def config(rows: int = 10_000, seconds: float = 5.0) -> ReloadConfig:
    return ReloadConfig(warm_rows=rows, warm_time_ms=timedelta(seconds=seconds))


async def test_hot_rows_go_through_the_new_version_in_small_requests() -> None:
    """The hottest first; small, so that others get their turn between."""
    new, (before, _) = New(), old(CHUNK_ROWS + 10)
    assert await warm(new.version, before, config()) == CHUNK_ROWS + 10
    assert [len(chunk) for chunk in new.seen] == [CHUNK_ROWS, 10]
    assert new.rows == [float(number) for number in range(CHUNK_ROWS + 10)]


async def test_it_is_bounded_in_rows() -> None:
    """``Reload.WarmRows``."""
    new, (before, view) = New(), old(100)
    assert await warm(new.version, before, config(rows=7)) == 7
    assert view.asked_for == [7]
    assert len(new.rows) == 7


async def test_zero_rows_is_off() -> None:
    """Nothing is even looked up."""
    new, (before, view) = New(), old(100)
    assert await warm(new.version, before, config(rows=0)) == 0
    assert (new.seen, view.asked_for) == ([], [])


async def test_it_is_bounded_in_time_between_requests() -> None:
    """``Reload.WarmTimeMs``: what does not fit is left out."""
    new, (before, _) = New(), old(CHUNK_ROWS * 4)

    async def past_the_end(asked: Rows, context: Context) -> None:
        while time.monotonic() < context.deadline:
            await asyncio.sleep(0)

    new.before = past_the_end
    assert await warm(new.version, before, config(seconds=0.05)) == CHUNK_ROWS
    assert len(new.seen) == 1


async def test_it_is_bounded_in_time_within_a_request() -> None:
    """Each carries the end of the whole as its deadline, which every ``Predict`` minds."""
    new, (before, _) = New(), old(3)
    start = time.monotonic()
    await warm(new.version, before, config(seconds=5))
    assert start <= new.deadlines[0] - 5 <= time.monotonic()


async def test_no_time_is_no_rows() -> None:
    new, (before, _) = New(), old(3)
    assert await warm(new.version, before, config(seconds=0)) == 0
    assert new.seen == []


@pytest.mark.parametrize(
    "other",
    [
        InputField("z", DType.FLOAT32, ()),
        InputField("x", DType.FLOAT64, ()),
        InputField("x", DType.FLOAT32, (), precision=2),
        InputField("x", DType.FLOAT32, (), default=1.0),
    ],
)
async def test_versions_that_take_other_inputs_are_not_warmed(other: InputField) -> None:
    """The old one's keys mean something else to it."""
    new, (before, view) = New(face=interface(other)), old(3)
    assert await warm(new.version, before, config()) == 0
    assert (new.seen, view.asked_for) == ([], [])


async def test_a_version_that_is_not_cached_is_not_warmed() -> None:
    """Its answers would be thrown away."""
    new, (before, _) = New(), old(3)
    new.version.cache = FakeView(not_cached="it names no DataStore")
    assert await warm(new.version, before, config()) == 0
    assert new.seen == []


async def test_keys_that_do_not_tell_their_rows_warm_nothing() -> None:
    new, (before, _) = New(), old(3, unkey=lambda keys: None)
    assert await warm(new.version, before, config()) == 0
    assert new.seen == []


async def test_rows_that_are_refused_are_skipped_with_their_request() -> None:
    """The new version may not know an old word."""
    new, (before, _) = New(), old(CHUNK_ROWS * 3)

    async def refusing(asked: Rows, context: Context) -> None:
        if float(CHUNK_ROWS) in asked.columns["x"]:
            raise BadRequest("no such word")

    new.before = refusing
    assert await warm(new.version, before, config()) == CHUNK_ROWS * 2
    assert len(new.seen) == 3


async def test_a_deadline_that_passes_is_no_failure() -> None:
    new, (before, _) = New(), old(3)

    async def late(asked: Rows, context: Context) -> None:
        raise DeadlineExceeded("late")

    new.before = late
    assert await warm(new.version, before, config()) == 0


async def test_a_fault_never_fails_the_swap(caplog: pytest.LogCaptureFixture) -> None:
    """Neither one of the model's nor one of ours; somebody hears of it."""
    new, (before, _) = New(), old(3)

    async def broken(asked: Rows, context: Context) -> None:
        raise RuntimeError("a fault")

    new.before = broken
    assert await warm(new.version, before, config()) == 0
    assert "m: the new version could not be warmed" in caplog.text

    def bad_keys(keys: Sequence[str]) -> Rows:
        raise ValueError("no such key")

    assert await warm(New().version, old(3, unkey=bad_keys)[0], config()) == 0
    assert "no such key" in caplog.text


async def test_it_can_be_cancelled() -> None:
    """A stop, or another configuration, does not wait for it."""
    new, (before, _) = New(), old(3)
    inside = asyncio.Event()

    async def hanging(asked: Rows, context: Context) -> None:
        inside.set()
        await asyncio.Event().wait()

    new.before = hanging
    task = asyncio.create_task(warm(new.version, before, config()))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_old_version_may_close_meanwhile() -> None:
    """Its rows are read first; nothing of it is needed after."""
    new, (before, _) = New(), old(CHUNK_ROWS * 2)

    async def close_old(asked: Rows, context: Context) -> None:
        if len(new.seen) == 1:
            await before.close(drain_s=1)

    new.before = close_old
    assert await warm(new.version, before, config()) == CHUNK_ROWS * 2


@pytest.mark.parametrize("retrained", [Lookups("", words("de", "us")), Lookups("exact: StringSplit reads it"), None])
async def test_a_new_vocabulary_is_no_new_input(retrained: Lookups | None) -> None:
    """Each retrained model has other words. What the old one folded comes as the sentinel, which is a row like any."""

    def face(lookups: Lookups | None) -> Interface:
        return interface(InputField("country", DType.STRING, (), lookups=lookups))

    before_face, after_face = face(Lookups("", words("de", "fr"))), face(retrained)
    asked = canonical_rows(rows(country=["de", "fr", "us"]), before_face)
    keys = KeyMaker(before_face).keys(asked)
    seen: list[str] = []

    async def predict(warmed: Rows, context: Context) -> Rows:
        seen.extend(warmed.columns["country"].tolist())
        return warmed

    before = deployment(face=before_face, cache=FakeView(None, hot=keys, unkey=partial(rows_from_keys, before_face)))
    new = deployment(canonical(predict, after_face), after_face, cache=FakeView(None))
    assert await warm(new, before, config()) == 3
    assert seen == (["de", "[UNK]", "[UNK]"] if retrained and retrained.every else ["de", "fr", "[UNK]"])
