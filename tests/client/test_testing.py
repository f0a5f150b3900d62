"""The fake speaks as a server does, or tests that use it are about something else."""

from __future__ import annotations

from typing import Any

import pytest

from mlserve.client import AsyncClient
from mlserve.client.testing import FakeModel, FakeServer, fake_transport
from mlserve.errors import InferenceFailed, Interrupted, NotReady, TooLarge


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"row": repr(sorted(row.items()))} for row in rows]


async def test_a_function_is_a_server() -> None:
    async with AsyncClient("http://fake", transport=fake_transport(shown)) as client:
        assert (await client.eval("model", x=1, y=[2]))["row"].tolist() == ["[('x', 1), ('y', 2)]"]
        result = await client.eval("model", {"x": [1, 2], "y": ["a"], "z": 3})
        assert result["row"].tolist() == ["[('x', 1), ('y', 'a'), ('z', 3)]", "[('x', 2), ('y', 'a'), ('z', 3)]"]


@pytest.mark.parametrize("error", [NotReady("loading", retry_after_s=0), Interrupted("cut")])
async def test_failures_pass_as_those_of_a_server(error: Any) -> None:
    server = FakeServer({"m": shown}, failures=[error])
    async with AsyncClient("http://fake", transport=server.transport) as client:
        assert (await client.eval("m", x=1))["row"] == "[('x', 1)]"
    assert not server.failures


async def test_a_model_may_refuse() -> None:
    def refusing(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        raise TooLarge("too many") if len(rows) > 1 else InferenceFailed("the model failed", incident="1f")

    server = FakeServer({"m": refusing})
    async with AsyncClient("http://fake", transport=server.transport) as client:
        with pytest.raises(InferenceFailed, match="the model failed"):
            await client.eval("m", x=1)
        with pytest.raises(TooLarge):
            await client.eval("m", x=[1, 2])


async def test_a_model_without_memory_is_asked_each_time() -> None:
    server = FakeServer({"m": FakeModel(shown, {"x": "int64"}, {"row": "string"}, size_mb=0)})
    async with AsyncClient("http://fake", transport=server.transport) as client:
        for _ in range(2):
            await client.eval("m", x=1)
    assert len(server.asked) == 2
