"""An answer that came another way is not measured in place of the right one."""

from __future__ import annotations

import pytest

from benchmarks.guard.paths import PATHS, Path

HIT = Path("hit", b"", b"", "memory; hit")
COMPUTED = Path("computed", b"", b"", None)


def answer(status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 24", "", "Cache-Status: of the body"]).encode()


def test_the_right_answers_pass() -> None:
    HIT.check(answer("200 OK", "Cache-Status: memory; hit; ttl=89"))
    COMPUTED.check(answer())


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (HIT, answer("200 OK", "Cache-Status: mlserve; fwd=miss; stored")),
        (HIT, answer()),
        (HIT, answer("503 Service Unavailable", "Cache-Status: memory; hit")),
        (COMPUTED, answer("200 OK", "Cache-Status: memory; hit; ttl=89")),
        (COMPUTED, answer("429 Too Many Requests")),
    ],
)
def test_others_are_told(path: Path, wrong: bytes) -> None:
    """A computed row in place of a hit would be recorded as what a hit costs."""
    with pytest.raises(RuntimeError, match=f"{path.name}: expected status 200 and .*got 'HTTP/1.1 "):
        path.check(wrong)


def test_names_tell_paths_apart() -> None:
    """Two of one name would be one in the record."""
    assert len({path.name for path in PATHS}) == len(PATHS)
