"""The door would give stale, wrong or uncounted answers to requests whose bytes it knows, or keep too many, if these
failed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from mlserve.serving.events import ModelLoaded, ModelRemoved
from tests.support.doors import GET, POST, Served, Talk, answers

NEXT = "fedcba9876543210" * 4


async def known() -> tuple[Served, Talk]:
    """A port that knows ``GET`` and ``POST`` by their bytes, with its counts at 0, and a connection to it."""
    served = Served(door=True)
    await served.learn()
    talk = served.connect()
    await talk.say(GET, POST)
    assert len(served.repeats) == 2
    served.at_once = 0
    return served, talk


def last(talk: Talk) -> bytes:
    return answers(talk.transport.written)[-1][1].rpartition(b'"data":')[2]


@pytest.mark.parametrize("raw", [GET, POST])
async def test_bytes_that_came_before_are_answered_by_them(raw: bytes) -> None:
    """To the byte as the ordinary way answers, but for times and lives."""
    served, talk = await known()
    talk.give(raw)
    assert (served.hits.by_bytes, served.hits.by_question) == (1, 0)
    plain = Served(door=False)
    await plain.learn()
    other = plain.connect()
    await other.say(raw)
    assert answers(talk.transport.written)[-1] == answers(other.transport.written)[-1]
    talk.leave()
    other.leave()


async def test_long_requests_are_known_too_and_told_apart() -> None:
    """A row of five hundred inputs is decoded in most of a millisecond: it is the one that most deserves it."""
    served, talk = await known()
    padded = [POST.replace(b"1.5}", b"1.5" + b" " * 4000 + end).replace(b": 9", b": 4010") for end in (b" }", b"} ")]
    await served.learn(*padded)
    for raw in padded:
        talk.give(raw)
        assert last(talk) == b'{"y":3.0}}'
    assert served.hits.by_bytes >= 2
    assert all(len(request) < 600 for request in served.repeats._versions)
    talk.leave()


async def test_the_same_question_in_other_words_is_learnt_as_well() -> None:
    """Each client library has its own headers, and sends them with every request."""
    served, talk = await known()
    worded = GET.replace(b"Host: a", b"Host: a\r\nUser-Agent: another/2")
    talk.give(worded, worded)
    assert (served.hits.by_bytes, served.hits.by_question) == (1, 1)
    assert len(served.repeats) == 3
    talk.leave()


def cleared(served: Served) -> None:
    served.memory.clear()


def replaced(served: Served) -> None:
    """By an equal answer, computed again: it is another entry."""
    for key in list(served.memory.newest(served.chain.prefix, 10)):
        value = served.memory.get(key)
        assert value is not None
        served.memory.put(key, bytes(bytearray(value)), 60.0)


def too_old(served: Served) -> None:
    served.now += 1e9


@pytest.mark.parametrize("lost", [cleared, replaced, too_old])
async def test_an_answer_counts_for_nothing_without_its_entry(lost: Callable[[Served], None]) -> None:
    """Lives, ``SizeMB`` and ``no-cache`` hold for requests that are known by their bytes, too."""
    served, talk = await known()
    lost(served)
    await talk.say(GET)
    assert served.hits.by_bytes == 0
    assert last(talk) == b'{"y":3.0}}'
    talk.leave()


async def test_no_cache_is_seen_by_who_asks_by_bytes() -> None:
    """A client that had a row computed again must get what that gave from then on."""
    served, talk = await known()
    served.factor = 5
    await talk.say(GET.replace(b"Host", b"Cache-Control: no-cache\r\nHost"))
    other = served.connect()
    await other.say(GET)
    assert served.hits.by_bytes == 0
    assert last(other) == b'{"y":7.5}}'
    talk.leave()
    other.leave()


async def test_rows_that_are_asked_for_by_bytes_stay_in_memory() -> None:
    """Else the rows asked for most would be the first that memory drops for space."""
    served, talk = await known()
    await talk.say(*[GET.replace(b"x=1.5", b"x=%d" % number) for number in range(5)])
    talk.give(GET)
    assert served.hits.by_bytes == 1
    assert next(iter(served.memory.newest(served.chain.prefix, 1))).endswith(b"1.5")
    talk.leave()


@pytest.mark.parametrize("gone", [True, False])
async def test_a_version_takes_what_it_answered_with_it(gone: bool) -> None:
    """Its model, and a memory tier that nobody else uses, would stay for as long as nobody asks."""
    served, talk = await known()
    old = weakref.ref(served.manager.acquire("m"))
    if gone:
        served.withdraw()
        served.hits.on_event(ModelRemoved("m"))
    else:
        served.hits.on_event(ModelLoaded(served.publish(3, NEXT), None))
    served.chain = served.manager.deployments["m"]  # type: ignore[assignment]  # lets go of the old one
    gc.collect()
    assert old() is None
    await talk.say(GET, POST)
    assert served.hits.by_bytes == 0
    assert len(served.repeats) == 0
    talk.leave()


async def test_another_versions_answers_are_not_given_before_word_of_it_comes() -> None:
    """The moment another version serves, and not the moment somebody hears of it, is what counts."""
    served, talk = await known()
    served.publish(3, NEXT)
    await talk.say(GET, GET, GET, GET)
    assert [body.rpartition(b'"data":')[2] for _, body in answers(talk.transport.written)][-4:] == [b'{"y":4.5}}'] * 4
    served.publish(2)
    await talk.say(GET)
    assert last(talk) == b'{"y":3.0}}'
    assert served.hits.by_bytes == 1, "of the four before"
    talk.leave()
