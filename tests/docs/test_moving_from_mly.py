"""``docs/moving-from-mly.md`` is followed by teams with servers in production: all that it says of mlserve happens.

Its commands run against mly's own models, beside a node of Aerospike; what it says of a namespace that both kinds of
server share is tried with records as mly writes them, and with a client that mly has configured.
"""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aerospike
import pytest

from tests.docs.test_samples import Reader, shipped
from tests.support.aerospike_process import aerospike_process
from tests.support.daemon import Daemon, running
from tests.support.markdown import ROOT, blocks, code, rows_of, steps
from tests.support.mly_rule import KeyRule
from tests.support.mly_session import Session

PAGE = ROOT / "docs" / "moving-from-mly.md"
MODELS = Path("tests") / "data" / "mly"
MLY_HASH = 2258113197202221534
"""What mly calls the words of ``sli``."""

EXACT = """
import numpy as np

class Exact:
    signature = {"inputs": {"word": "string[-1]", "tail": "string[-1]"}, "outputs": {"size": "int64[-1]"}}

    def predict(self, inputs):
        return {"size": np.array([len(word) for word in inputs["word"] + inputs["tail"]])}
"""
EXACT_CONFIG = """
models: [{id: exact, url: "python:exact.py:Exact", datastore: exact}]
connections: [{id: l1, hostnames: 127.0.0.1, port: PORT}]
datastores: [{id: exact, connection: l1, namespace: test, dataset: exact, cache: {sizeMb: 1}}]
"""


@pytest.fixture(scope="module")
def node() -> Iterator[int]:
    with aerospike_process() as port:
        yield port


@pytest.fixture(scope="module")
def reader(node: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody with the page's files, whose Aerospike is ``node`` and whose models are loaded and connected."""
    folder = shipped(tmp_path_factory.mktemp("moving"))
    shutil.copytree(ROOT / MODELS, folder / MODELS)
    for block in blocks(PAGE):
        if block.file:
            (folder / block.file).write_text(block.text.replace("port: 3000", f"port: {node}"))
    with running(folder / "config.yaml") as daemon:
        daemon.wait_for_log("connection l1 .* is up")
        yield Reader(folder, daemon)


@pytest.mark.timeout(300)
def test_commands_answer_what_the_page_says(reader: Reader) -> None:
    """A team tries the move by this page, and the first thing it sees is something else."""
    for step in steps(PAGE):
        reader.follow(step)


@pytest.mark.parametrize("body", DIFFERENCES := rows_of(PAGE, "Posted"))
def test_requests_that_mly_answers_in_another_way(reader: Reader, body: str) -> None:
    """A client that relied on mly's answer is told of another status than it gets."""
    url = f"{reader.daemon.url}/v1/api/model/fli/eval"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, code(body)[0].encode()), timeout=10) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    assert str(status) == DIFFERENCES[body][1][:3]


@pytest.mark.parametrize("foreign", [{"dictHash": MLY_HASH}, {}], ids=["with its hash", "without a hash"])
def test_a_record_of_mly_is_never_the_answer(reader: Reader, foreign: dict[str, int]) -> None:
    """In a shared namespace mlserve would answer by another server's model."""
    key = f"b/b/{len(foreign)}/k"
    query = f"sa=b&sl=b&aux={len(foreign)}&kf=k"
    with Session(reader.daemon.port, "sli") as session:
        put(session, key, {"expand": 99} | foreign)
        assert reader.daemon.get(f"/v1/api/model/sli/explain?{query}")[1]["tiers"]["l1"] == {"state": "stale"}  # type: ignore[index]
        assert session.get(query).data == {"expand": 16}
        reader.daemon.wait_until(lambda: record(session, key) == {"expand": 16, "dictHash": session.hash})


def test_who_takes_a_record_of_the_other_for_a_hit(reader: Reader) -> None:
    """The page's advice on ``WithHashValidation`` rests on what such clients make of the documents they get."""
    row = {"sa": "c", "sl": "b", "aux": "both", "kf": "k"}
    for validates, status, data in ((False, "cached", {"expand": 99}), (True, "ok", {"expand": 12})):
        with Session(reader.daemon.port, "sli", validates=validates) as session:
            put(session, "c/b/both/k", {"expand": 99, "dictHash": MLY_HASH})
            answer = session.run(**row)
            assert (answer.status, answer.data) == (status, data)


@pytest.fixture(scope="module")
def exact(node: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """It serves a model of whose inputs nobody can prove that they fold."""
    folder = tmp_path_factory.mktemp("exact")
    (folder / "exact.py").write_text(EXACT)
    (folder / "config.yaml").write_text(EXACT_CONFIG.replace("PORT", str(node)))
    with running(folder / "config.yaml") as daemon:
        daemon.wait_for_log("connection l1 .* is up")
        yield daemon


def test_a_client_that_mly_configured_has_to_be_restarted(exact: Daemon) -> None:
    """The page says what goes wrong otherwise, how an operator sees it, and that a restart is the cure."""
    before = refused_keys(exact)
    with Session(exact.port, "exact", shares=False) as started_with_mly:
        for entry in started_with_mly.config["Inputs"]:
            assert entry.pop("Wildcard")
        started_with_mly.rule = KeyRule(started_with_mly.config, started_with_mly.dictionary)
        assert started_with_mly.run(word="four", tail="").data == {"size": 4}
        assert started_with_mly.run(word="eleven", tail="").data == {"size": 4}
    assert refused_keys(exact) == before + 1
    with Session(exact.port, "exact") as restarted:
        assert [restarted.run(word=word, tail="").data["size"] for word in ("four", "eleven")] == [4, 6]
        exact.wait_until(lambda: record(restarted, "/eleven") is not None)
        assert record(restarted, "/") is None
    assert refused_keys(exact) == before + 1


def refused_keys(daemon: Daemon) -> int:
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as answer:
        found = re.search(r'mlserve_cache_keys_refused_total{model="exact"} (\d+)', answer.read().decode())
    assert found is not None
    return int(found[1])


def record(session: Session, key: str) -> dict[str, Any] | None:
    found = session.record(key.encode())
    return None if found is None else found[0]


def put(session: Session, key: str, bins: dict[str, int]) -> None:
    """As mly's server writes it."""
    link = session.config["Connections"][0]
    client = aerospike.client({"hosts": [(link["Hostnames"], link["Port"])]})
    try:
        where = (session.config["Namespace"], session.config["Dataset"], key)
        client.put(where, bins, policy={"key": aerospike.POLICY_KEY_SEND, "ttl": 900})
    finally:
        client.close()
