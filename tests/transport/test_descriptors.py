"""Connections are bounded by what the operating system allows, which is raised as far as it goes."""

from __future__ import annotations

import resource

import pytest

from mlserve.transport.descriptors import RESERVED, connections_allowed


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed", "raised_to"),
    [
        (1024, 1_000_000, 10_000, 10_000, 10_000 + RESERVED),
        (1024, 4096, 10_000, 4096 - RESERVED, 4096),
        (20_000, 20_000, 10_000, 10_000, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 10_000, 10_000, None),
        (1024, resource.RLIM_INFINITY, 10_000, 10_000, 10_000 + RESERVED),
        (64, 64, 10_000, 1, 64),
    ],
)
def test_the_soft_limit_is_raised_and_the_hard_one_kept(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, allowed: int, raised_to: int | None
) -> None:
    """Shells start with 1,024: ten thousand connections would fail at the thousandth, or the next model would."""
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: limits.append(pair))
    assert connections_allowed(wanted) == allowed
    assert limits == ([] if raised_to is None else [(raised_to, hard)])
