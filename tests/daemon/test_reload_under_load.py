"""Reloads in a row while clients ask: nobody gets an error, half a version, or a version that was already replaced."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import orjson
import pytest

from tests.support.daemon import running
from tests.support.versions import publish, write_version

CONNECTIONS = 32
SECONDS = float(os.environ.get("MLSERVE_TEST_RELOAD_SECONDS", "20"))
PERIOD_S = 0.2


class Witness:
    """What all clients together have seen."""

    def __init__(self) -> None:
        self.newest = 0
        self.requests = 0
        self.hash_of: dict[int, int] = {}
        self.faults: list[str] = []

    def judge(self, newest_when_sent: int, status: int, body: bytes) -> None:
        self.requests += 1
        if status != 200:
            self.faults.append(f"{status} {body!r}")
            return
        answer = orjson.loads(body)
        versions = {int(value) for value in answer["data"].values()}
        if len(versions) != 1:
            self.faults.append(f"outputs of two versions: {body!r}")
            return
        version = versions.pop()
        if version < newest_when_sent:
            self.faults.append(f"version {version} after {newest_when_sent} had answered")
        if self.hash_of.setdefault(version, answer["dictHash"]) != answer["dictHash"]:
            self.faults.append(f"version {version} has two hashes")
        self.newest = max(self.newest, version)


async def ask(port: int, witness: Witness, until: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = b"GET /v1/api/model/m/eval?x=0 HTTP/1.1\r\nHost: test\r\n\r\n"
    try:
        while asyncio.get_running_loop().time() < until:
            newest = witness.newest
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            witness.judge(newest, int(head.split()[1]), await reader.readexactly(length))
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("cache", "seconds"),
    [("", SECONDS), (", DataStore: d}], Datastores: [{ID: d, Cache: {SizeMB: 4}", SECONDS / 4)],
    ids=["computed", "cached"],
)
async def test_reloads_under_load_harm_nobody(tmp_path: Path, cache: str, seconds: float) -> None:
    """A reload every 200 ms under 32 connections: no failed request, no mixed answer, no step back in versions.

    Cached, every answer but the first of each version comes from memory: one that outlived its version would show.
    """
    count = int(seconds / PERIOD_S) + 1
    for version in range(1, count + 1):
        write_version(tmp_path / f"v{version}.onnx.kept", version)
    served = tmp_path / "served"
    served.mkdir()
    publish(tmp_path / "v1.onnx.kept", served / "m.onnx")
    (served / "_SUCCESS").touch()  # versions come by rename and faster than two looks a second apart: no need to settle
    config = tmp_path / "config.yaml"
    config.write_text(f"{{Models: [{{ID: m, URL: served, ReadyFile: _SUCCESS{cache}}}]}}\n")
    starting = running(config)
    daemon = await asyncio.to_thread(starting.__enter__)
    try:
        loop = asyncio.get_running_loop()
        start, witness = loop.time(), Witness()
        async with asyncio.TaskGroup() as clients:
            for _ in range(CONNECTIONS):
                clients.create_task(ask(daemon.port, witness, start + seconds))
            for version in range(2, count + 1):
                await asyncio.sleep(max(0.0, start + (version - 1) * PERIOD_S - loop.time()))
                await asyncio.to_thread(publish, tmp_path / f"v{version}.onnx.kept", served / "m.onnx")
        assert witness.faults == [], f"{len(witness.faults)} of {witness.requests}: {witness.faults[:5]}"
        assert len(witness.hash_of) > count / 4, f"only versions {sorted(witness.hash_of)} of {count} were seen"
        await asyncio.to_thread(
            daemon.wait_until, lambda: daemon.get("/v1/api/model/m/eval?x=0")[1]["data"] == {"a": count, "b": count}
        )
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)
