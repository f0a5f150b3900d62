"""Different questions would share an answer, or long ones take more memory than they save, if these failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.protocols.eval import EvalProtocol
from mlserve.transport.question import LONG_BYTES, MAX_QUESTION_BYTES, known_by, question_of

PROTOCOL = EvalProtocol()


@given(st.tuples(st.sampled_from(["GET", "POST"]), st.text(max_size=4), st.binary(max_size=4)))
def test_a_question_is_its_verb_and_what_is_sent_with_it(asked: tuple[str, str, bytes]) -> None:
    """A body that reads like a query is another question, and the query of a POST is none at all."""
    method, query, body = asked
    question = question_of(PROTOCOL, method, query, body)
    assert question == (b"eval\0" + body if method == "POST" else b"eval\1" + query.encode())


def test_a_head_asks_what_its_get_asks() -> None:
    """Their answers differ by the body alone, which the carrier leaves out."""
    assert question_of(PROTOCOL, "HEAD", "x=1", b"") == question_of(PROTOCOL, "GET", "x=1", b"")


def test_another_protocol_asks_something_else() -> None:
    """Its answers look different."""

    class Other(EvalProtocol):
        name = "other"

    assert question_of(Other(), "GET", "x=1", b"") != question_of(PROTOCOL, "GET", "x=1", b"")


@pytest.mark.parametrize("size", [LONG_BYTES, LONG_BYTES + 1, MAX_QUESTION_BYTES])
def test_long_questions_are_told_apart_by_their_last_byte(size: int) -> None:
    """They are known by a digest, of all their bytes."""
    text = b"x" * (size - 6)
    one, other = (question_of(PROTOCOL, "POST", "", text + end) for end in (b"1", b"2"))
    assert one is not None
    assert one != other
    assert len(one) <= LONG_BYTES


def test_what_is_too_long_is_no_question() -> None:
    """Working out its digest would cost every batch something, for nothing."""
    assert question_of(PROTOCOL, "POST", "", b"x" * (MAX_QUESTION_BYTES + 1)) is None
    assert question_of(PROTOCOL, "GET", "x" * (MAX_QUESTION_BYTES + 1), b"") is None


@given(st.binary(max_size=3 * LONG_BYTES), st.binary(max_size=LONG_BYTES).filter(lambda text: text[:1] != b"\0"))
def test_no_short_text_is_the_name_of_another(long: bytes, short: bytes) -> None:
    """A client could ask by the digest of somebody else's question, and so it could not."""
    assert (known_by(long) == short) == (long == short)
