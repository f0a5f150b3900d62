"""The door would keep more of requests than it may, or lose count of what it keeps, if these failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlserve.observe.model_metrics import ModelMetrics
from mlserve.stores.memory import MemoryStore
from mlserve.transport.repeats import MAX_BYTES, REPEAT_BYTES, Repeats, Version
from tests.support.deployments import deployment

ANSWER = (b"key", b"entry", b"head", b"tail")


def version() -> Version:
    metrics = ModelMetrics("m")
    return Version(deployment(), MemoryStore(1 << 20), metrics, metrics.requests_by("eval"), b"")


def test_a_request_is_known_with_its_answer_until_it_is_forgotten() -> None:
    """By its own version, whichever learnt it last."""
    repeats, one, two = Repeats(lambda: 1 << 16), version(), version()
    repeats.learn(b"request", one, ANSWER)
    assert repeats.of(b"request") is one
    repeats.learn(b"request", two, (*ANSWER[:3], b"other"))
    assert repeats.of(b"request") is two
    assert one.answers == {}
    assert two.answers[b"request"][3] == b"other"
    repeats.forget(b"request")
    repeats.forget(b"request")
    assert repeats.of(b"request") is None
    assert (len(repeats), repeats.used_bytes, two.answers) == (0, 0, {})


def test_the_oldest_make_room_for_the_newest() -> None:
    """A client that words each request anew must not grow the process."""
    repeats, one = Repeats(lambda: 100 * 1024), version()
    requests = [b"request %d" % number for number in range(1000)]
    for request in requests:
        repeats.learn(request, one, ANSWER)
        assert repeats.of(request) is one
        assert repeats.used_bytes <= 100 * 1024
    kept = [request for request in requests if repeats.of(request)]
    assert kept == requests[-len(kept) :]
    assert len(kept) > 60
    assert set(one.answers) == set(kept)


def test_what_is_too_large_is_not_kept() -> None:
    """One long request would push out many."""
    repeats, one = Repeats(lambda: 1 << 20), version()
    repeats.learn(b"x" * (MAX_BYTES - REPEAT_BYTES), one, ANSWER)
    assert len(repeats) == 0
    repeats.learn(b"x" * (MAX_BYTES - REPEAT_BYTES - sum(map(len, ANSWER))), one, ANSWER)
    assert len(repeats) == 1


def test_nothing_is_kept_where_there_is_no_room() -> None:
    """No memory tier, no requests; and a tier that was taken away takes its share with it."""
    room = [0]
    repeats, one = Repeats(lambda: room[0]), version()
    repeats.learn(b"request", one, ANSWER)
    assert len(repeats) == 0
    room[0] = 4096
    for number in range(4):
        repeats.learn(b"%d" % number, one, ANSWER)
    assert len(repeats) == 4
    room[0] = 1024
    repeats.learn(b"another", one, ANSWER)
    assert repeats.used_bytes <= 1024


def test_a_version_that_ended_answers_nothing_and_is_forgotten_in_its_turn() -> None:
    """A reload must not stop the loop for as long as it takes to forget all requests of a version."""
    repeats, one, two = Repeats(lambda: 4096), version(), version()
    repeats.learn(b"request", one, ANSWER)
    one.end()
    assert one.deployment is None
    assert one.lasts(*ANSWER[:2]) <= 0
    assert len(repeats) == 1
    for number in range(8):
        repeats.learn(b"%d" % number, two, ANSWER)
    assert repeats.of(b"request") is None
    assert one.answers == {}


@given(st.lists(st.tuples(st.sampled_from("lf"), st.binary(max_size=3), st.integers(0, 1), st.binary(max_size=900))))
def test_the_count_is_that_of_what_is_kept(steps: list[tuple[str, bytes, int, bytes]]) -> None:
    """Learning and forgetting in any order: both sides hold the same, and bytes add up."""
    repeats, versions = Repeats(lambda: 4096), [version(), version()]
    for step, request, index, tail in steps:
        if step == "l":
            repeats.learn(request, versions[index], (b"k", b"e", b"h", tail))
        else:
            repeats.forget(request)
        held = [(request, answer) for one in versions for request, answer in one.answers.items()]
        assert len(repeats) == len(held)
        assert repeats.used_bytes == sum(
            REPEAT_BYTES + len(request) + sum(map(len, answer)) for request, answer in held
        )
        assert all(request in (repeats.of(request) or version()).answers for request, _ in held)
