"""A Go client of mly would have to be changed to move to mlserve, if these failed: whole sessions of one.

A real process serves mly's own models; records go to a node of Aerospike and are read by its official client.
"""

from __future__ import annotations

import math
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aerospike
import pytest

from tests.support.aerospike_process import aerospike_process
from tests.support.daemon import Daemon, running
from tests.support.mly_session import Answer, Refused, Session
from tests.support.versions import publish, write_version

MODELS = Path(__file__).parents[1] / "data" / "mly"
CONFIG = """
endpoint: {port: 8086}
models:
  - {id: sli, url: MODELS/string_lookups_int_model,   datastore: sli, keyFields: [sa, sl, aux, kf]}
  - {id: slf, url: MODELS/string_lookups_float_model, datastore: slf,
     inputs: [{name: sa}, {name: sl}, {name: aux, auxiliary: true}]}
  - {id: fli, url: MODELS/float_input_int_model,      datastore: fli, inputs: [{name: fl, precision: 4}]}
  - {id: flinc, url: MODELS/float_input_int_model,    useDict: false}
  - {id: classes, url: MODELS/string_lookups_float_model, datastore: classes, transformer: 'classes.py:size_class',
     inputs: [{name: sa}, {name: sl}, {name: aux, auxiliary: true}]}
  - {id: held, url: MODELS/string_lookups_int_model,  datastore: held}
connections:
  - {id: l1, hostnames: 127.0.0.1, port: PORT}
datastores:
  - {id: sli, connection: l1, namespace: test, dataset: sli, timeToLiveMs: 30000}
  - {id: slf, connection: l1, namespace: test, dataset: slf, timeToLiveMs: 30000}
  - {id: fli, connection: l1, namespace: test, dataset: fli, timeToLiveMs: 30000}
  - {id: classes, connection: l1, namespace: test, dataset: classes, timeToLiveMs: 30000}
  - {id: held, connection: l1, namespace: test, dataset: held, cache: {sizeMb: 1}}
"""
CLASSES = """
def size_class(inputs, outputs):
    bounds = [(1, "one"), (2, "two"), (5, "five")]
    return {"Class": next((name for bound, name in bounds if outputs["expand"] < bound), "other")}
"""
LETTERS = ["", "[UNK]", "a", "b", "c"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("mly")
    (folder / "classes.py").write_text(CLASSES)
    with aerospike_process() as port:
        config = CONFIG.replace("MODELS", str(MODELS)).replace("PORT", str(port))
        (folder / "config.yaml").write_text(config)
        with running(folder / "config.yaml") as daemon:
            daemon.wait_for_log("connection l1 .* is up")
            yield daemon


def kept(daemon: Daemon, session: Session, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record under ``key``, once the server has written it: it does so after it has answered."""
    daemon.wait_until(lambda: session.record(key.encode()) is not None)
    record = session.record(key.encode())
    assert record is not None
    return record


def near(answer: Answer, *expected: float) -> bool:
    rows = answer.data if isinstance(answer.data, list) else [answer.data]
    return len(rows) == len(expected) and all(
        row.keys() == {"expand"} and math.isclose(row["expand"], value, rel_tol=1e-6)
        for row, value in zip(rows, expected, strict=True)
    )


class TestDocuments:
    def test_how_each_model_is_told(self, daemon: Daemon) -> None:
        """Inputs in key order with their flags, ``KeyFields`` and outputs, as mly tells them."""
        string, aux = {"DataType": "string"}, {"DataType": "string", "Auxiliary": True}
        expected = {
            "sli": (
                {"sa": string, "sl": string, "aux": aux | {"Wildcard": True}, "kf": aux | {"Wildcard": True}},
                ["sa", "sl", "aux", "kf"],
                "int64",
            ),
            "slf": ({"sa": string, "sl": string, "aux": aux}, ["sa", "sl"], "float32"),
            "fli": ({"fl": {"DataType": "float", "Precision": 4}, "sl": string}, ["fl", "sl"], "float32"),
            "flinc": ({"fl": {"DataType": "float"}, "sl": string}, None, "float32"),
        }
        for model, (inputs, key_fields, output) in expected.items():
            with Session(daemon.port, model, shares=False) as session:
                config = session.config
            shown = [(it.pop("Name"), {name: it[name] for name in it if name != "Index"}) for it in config["Inputs"]]
            assert shown == list(inputs.items())
            assert config.get("KeyFields") == key_fields
            assert config["Outputs"] == [{"Name": "expand", "Index": 0, "DataType": output}]

    def test_where_records_are_told_to_be(self, daemon: Daemon) -> None:
        """A client connects by this alone."""
        with Session(daemon.port, "sli", shares=False) as session:
            config = session.config
        timeout = {"Unit": "ms", "Connection": 800, "Socket": 400, "Total": 450}
        (link,) = config["Connections"]
        assert (link["ID"], link["Hostnames"], link["Timeout"]) == ("l1", "127.0.0.1", timeout)
        assert [config[name] for name in ("ID", "Cache", "Connection", "Namespace", "Dataset", "TimeToLiveMs")] == [
            "sli", None, "l1", "test", "sli", 30000
        ]  # fmt: skip
        with Session(daemon.port, "flinc") as session:
            assert (session.config["ID"], session.config["Connections"], session.dictionary) == ("", None, None)

    def test_dictionaries(self, daemon: Daemon) -> None:
        """A layer for each input that the model looks up; the hash is that of answers."""
        for model, names in (("sli", ["sa", "sl"]), ("slf", ["sa", "sl"]), ("fli", ["sl"])):
            with Session(daemon.port, model, shares=False) as session:
                assert session.dictionary is not None
                layers = session.dictionary["Layers"]
                assert [(it["Name"], it["Strings"], it["Ints"]) for it in layers] == [
                    (it, LETTERS, None) for it in names
                ]
                assert session.hash not in (0, -(2**63))

    def test_head_and_other_verbs(self, daemon: Daemon) -> None:
        """A probe gets the headers alone; what changes nothing cannot be posted."""
        url = f"{daemon.url}/v1/api/model/sli/meta/dictionary"
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10) as answer:
            assert (answer.headers["Content-Encoding"], answer.headers["Content-Type"]) == ("gzip", "application/json")
            assert (int(answer.headers["Content-Length"]) > 100, answer.read()) == (True, b"")
        assert daemon.post("/v1/api/model/sli/meta/config", {})[0] == 405
        assert daemon.get("/v1/api/model/slx/meta/config")[0] == 404
        stats = {"activeEvaluators": 0, "batchQueueLen": 0, "shedding": False, "timeout": 0}
        assert daemon.get("/v1/api/model/sli/meta/stats") == (200, stats)


class TestCalls:
    """The worked calls, each with the body that the client sends."""

    def test_key_fields_are_in_the_key(self, daemon: Daemon) -> None:
        """Calls 1 and 2: the second finds the record that the server made of the first."""
        with Session(daemon.port, "sli") as session:
            row = {"sa": "a", "sl": "a", "aux": "test", "kf": "k"}
            assert session.run(**row) == Answer("ok", {"expand": 25}, session.hash)
            assert session.posted == [b'{"sa":"a","sl":"a","aux":"test","kf":"k","cache_key":"a/a/test/k"}\n']
            kept(daemon, session, "a/a/test/k")
            assert session.run(**row) == Answer("cached", {"expand": 25}, session.hash)
            assert (len(session.posted), session.fetches) == (1, 1)

    def test_an_auxiliary_input_that_is_not_in_the_key(self, daemon: Daemon) -> None:
        """Calls 3, 5 and 6: of a batch only the rows are sent that nobody has answered yet."""
        with Session(daemon.port, "slf") as session:
            assert near(session.run(sa="a", sl="a", aux="aux"), 3.5714285)
            assert session.posted[-1] == b'{"sa":"a","sl":"a","aux":"aux","cache_key":"a/a/"}\n'
            kept(daemon, session, "a/a/")
            answer = session.run_batch(2, sa=["a", "d"], sl=["a", "a"], aux=["aux", "l"])
            assert (answer.status, near(answer, 3.5714285, 1.4285715)) == ("ok", True)
            assert session.posted[-1] == (
                b'{"batch_size":1,"sa":["d"],"sl":["a"],"aux":["l"],"cache_key":["[UNK]/a/"]}\n'
            )
            kept(daemon, session, "[UNK]/a/")
            answer = session.run_batch(2, sa=["a", "e"], sl=["a"], aux=["x"])
            assert (answer.status, near(answer, 3.5714285, 1.4285715)) == ("cached", True)
            answer = session.run_batch(2, sa=["a", "b"], sl=["b"], aux=["test"])
            assert near(answer, 2.857143, 2.2857144)
            assert session.posted[-1] == (
                b'{"batch_size":2,"sa":["a","b"],"sl":["b"],"aux":["test"],"cache_key":["a/b/","b/b/"]}\n'
            )
            assert len(session.posted) == 3

    def test_a_whole_batch(self, daemon: Daemon) -> None:
        """Call 4, by a client that shares nothing."""
        with Session(daemon.port, "slf", shares=False) as session:
            answer = session.run_batch(2, sa=["a", "d"], sl=["a", "a"], aux=["aux", "l"])
            assert near(answer, 3.5714285, 1.4285715)
            assert session.posted == [
                b'{"batch_size":2,"sa":["a","d"],"sl":["a","a"],"aux":["aux","l"],"cache_key":["a/a/","[UNK]/a/"]}\n'
            ]

    def test_precision(self, daemon: Daemon) -> None:
        """Calls 7 to 10: the rounded value is key, request and what the model sees."""
        with Session(daemon.port, "fli") as session:
            assert near(session.run(fl=1.00054, sl="a"), 3.1436427)
            assert session.posted[-1] == b'{"fl":1.0005,"sl":"a","cache_key":"1.0005/a"}\n'
            kept(daemon, session, "1.0005/a")
            again = session.run(fl=1.00053, sl="a")
            assert (again.status, near(again, 3.1436427), len(session.posted)) == ("cached", True, 1)
            assert near(session.run(fl=1.20001, sl="a"), 3.4571428)
            assert session.posted[-1] == b'{"fl":1.2,"sl":"a","cache_key":"1.2000/a"}\n'
        with Session(daemon.port, "fli", shares=False) as session:
            assert near(session.run_batch(2, fl=[1.2, 1.5], sl=["a", "b"]), 3.4571428, 3.5714288)
            assert session.posted == [
                b'{"batch_size":2,"fl":[1.2,1.5],"sl":["a","b"],"cache_key":["1.2000/a","1.5000/b"]}\n'
            ]
            assert near(session.send(b'{"fl":1.00054,"sl":"a"}\n'), 3.1436427)

    def test_without_a_dictionary(self, daemon: Daemon) -> None:
        """Call 11: no hash, nothing cached, not even where every row has the same key."""
        with Session(daemon.port, "flinc") as session:
            for fl, expected in ((1.2, 3.4571428), (1.00054, 3.1437056)):
                answer = session.run(fl=fl, sl="a")
                assert (answer.status, answer.dict_hash, near(answer, expected)) == ("ok", 0, True)
            assert session.posted[0] == b'{"fl":1.2,"sl":"a","cache_key":"/"}\n'
            assert (len(session.posted), session.fetches) == (2, 1)

    @pytest.mark.parametrize(
        "body",
        [
            b'{"sa":"a","sl":"a","aux":"t","cache_key":"a/a/t/"}\n',
            b'{"sa":"a","sl":"a","aux":"t","kf":"k","extra":"x"}\n',
            b'{"sa":1,"sl":"a","aux":"t","kf":"k"}\n',
            b'{"sa":"a"b","sl":"a","aux":"t","kf":"k"}\n',
            b'{"batch_size":2,"sa":["a","b"],"sl":["a"],"aux":[],"kf":["k"]}\n',
        ],
    )
    def test_what_is_refused(self, daemon: Daemon, body: bytes) -> None:
        """Call 12, and a quotation mark that was not escaped: a status that old clients take for final."""
        with Session(daemon.port, "sli", shares=False) as session:
            with pytest.raises(Refused) as refused:
                session.send(body)
            assert refused.value.status == 400
            assert refused.value.document["status"] == "error"

    def test_health(self, daemon: Daemon) -> None:
        """Call 13."""
        assert daemon.get("/v1/api/health")[1]["sli"] == 1

    def test_get(self, daemon: Daemon) -> None:
        """One row by query has the same hash, and the same record."""
        with Session(daemon.port, "sli") as session:
            answer = session.get("sa=b&sl=a&aux=get&kf=k&cache_key=other")
            assert answer == Answer("ok", {"expand": 20}, session.hash)
            assert kept(daemon, session, "b/a/get/k")[0] == {"expand": 20, "dictHash": session.hash}
            assert session.run(sa="b", sl="a", aux="get", kf="k").status == "cached"

    def test_strings_as_no_other_client_sends_them(self, daemon: Daemon) -> None:
        """Raw control characters, and bytes that are not UTF-8: out of vocabulary, and still answered."""
        with Session(daemon.port, "slf", shares=False) as session:
            answer = session.run_batch(3, sa=["\t\n\x00", b"\xff\xfe", "a"], sl=["a"], aux=[b"\xff"])
            assert near(answer, 1.4285715, 1.4285715, 3.5714285)
            assert b'["\t\n\x00","\xff\xfe","a"]' in session.posted[-1]
        with Session(daemon.port, "sli", shares=False) as session:
            assert session.run(sa="a", sl="a", aux="\x01", kf=b"\xff").data == {"expand": 25}

    def test_a_transformer(self, daemon: Daemon) -> None:
        """What it makes of an answer is what is cached."""
        with Session(daemon.port, "classes") as session:
            assert session.run(sa="a", sl="a", aux="aux").data == {"Class": "five"}
            answer = session.run_batch(2, sa=["b", "d"], sl=["b", "a"], aux=["aux", "l"])
            assert answer.data == [{"Class": "five"}, {"Class": "two"}]
            assert session.run_batch(2, sa=["a", "b"], sl=["b"], aux=["t"]).data == [{"Class": "five"}] * 2
            assert kept(daemon, session, "[UNK]/a/")[0] == {"Class": "two", "dictHash": session.hash}
            assert session.run(sa="x", sl="a", aux="aux") == Answer("cached", {"Class": "two"}, session.hash)


class TestRecords:
    @pytest.mark.parametrize(
        ("model", "key", "digest", "row", "expand"),
        [
            ("sli", "a/a/test/k", "b34bbd18061e71f9e54ac93d9c465964cd38d425",
             {"sa": "a", "sl": "a", "aux": "test", "kf": "k"}, 25),
            ("slf", "a/a/", "d0e33c35a261b0f9edceaf5ea17aaaca83c931a7",
             {"sa": "a", "sl": "a", "aux": "aux"}, 3.5714285373687744),
            ("fli", "1.0005/a", "bf7f006e246a1cbd9e040cbc9434c214b598c3c1",
             {"fl": 1.00054, "sl": "a"}, 3.1436426639556885),
            ("fli", "1.2000/a", "adabc3de036c19493edc9e8d718eeb622d2bd4c0",
             {"fl": 1.20001, "sl": "a"}, 3.4571428298950195),
        ],
    )  # fmt: skip
    def test_what_the_server_writes(
        self, daemon: Daemon, model: str, key: str, digest: str, row: dict[str, Any], expand: float
    ) -> None:
        """Where mly writes it, bin for bin; a float may differ from mly's in its last bits, for the runtime does."""
        with Session(daemon.port, model) as session:
            session.run(**row)
            bins, meta = kept(daemon, session, key)
            assert bins == {"expand": pytest.approx(expand, rel=1e-6), "dictHash": session.hash}
            assert type(bins["expand"]) is type(expand)
            assert 20 <= meta["ttl"] <= 30
            assert aerospike.calc_digest("test", session.config["Dataset"], key) == bytes.fromhex(digest)

    def test_a_wrong_key_does_no_harm(self, daemon: Daemon) -> None:
        """Its row is answered, nothing stands under it, and it is counted each time."""
        with Session(daemon.port, "sli") as session:
            before = refused_keys(daemon, "sli")
            body = b'{"sa":"b","sl":"b","aux":"p","kf":"k","cache_key":"c/c/p/k"}\n'
            for _ in range(2):
                assert session.send(body).data == {"expand": 16}
            batch = b'{"batch_size":2,"sa":["c"],"sl":["b","c"],"aux":["p"],"kf":["k"],"cache_key":["c/b/p/k","no"]}\n'
            assert session.send(batch).data == [{"expand": 12}, {"expand": 9}]
            assert refused_keys(daemon, "sli") == before + 3
            kept(daemon, session, "b/b/p/k")
            assert kept(daemon, session, "c/c/p/k")[0]["expand"] == 9
            assert session.run(sa="c", sl="c", aux="p", kf="k").data == {"expand": 9}


def refused_keys(daemon: Daemon, model: str) -> int:
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as response:
        found = re.search(rf'mlserve_cache_keys_refused_total{{model="{model}"}} (\d+)', response.read().decode())
    assert found is not None
    return int(found[1])


def test_a_client_with_memory_of_its_own(daemon: Daemon) -> None:
    """``Cache`` in the document is what gives it one."""
    with Session(daemon.port, "held", shares=False) as session:
        assert [session.run(sa="a", sl="b").status for _ in range(3)] == ["ok", "cached", "cached"]
        answer = session.run_batch(3, sa=["a", "c", "x"], sl=["b"])
        assert answer.data == [{"expand": 20}, {"expand": 12}, {"expand": 8}]
        assert session.posted[-1].startswith(b'{"batch_size":2,"sa":["c","x"],"sl":["b"],')
        assert session.run_batch(2, sa=["y", "c"], sl=["b"]).status == "cached"
        assert refused_keys(daemon, "held") == 0


@pytest.fixture
def node() -> Iterator[int]:
    with aerospike_process() as port:
        yield port


def test_a_new_version_while_a_client_is_connected(tmp_path: Path, node: int) -> None:
    """It meets another ``dictHash``, fetches the dictionary again, and finds nothing of the old version for current."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "_SUCCESS").touch()
    for version in (1, 2):
        write_version(tmp_path / f"v{version}", version)
    publish(tmp_path / "v1", tmp_path / "served" / "m.onnx")
    (tmp_path / "config.yaml").write_text(f"""
Models: [{{ID: m, URL: served, ReadyFile: _SUCCESS, DataStore: d}}]
Datastores: [{{ID: d, Cache: {{SizeMB: 1}}, Connection: l1, Namespace: test, Dataset: m}}]
Connections: [{{ID: l1, URL: "aerospike://127.0.0.1:{node}"}}]
""")
    with running(tmp_path / "config.yaml") as daemon, Session(daemon.port, "m", validates=True) as session:
        daemon.wait_for_log("connection l1 .* is up")
        assert session.run(x=1.5).data == {"a": 2.5, "b": 2.5}
        assert session.posted == [b'{"x":1.5,"cache_key":"1.5000000000"}\n']
        assert session.run(x=1.5).status == "cached"
        old = session.hash
        assert kept(daemon, session, "1.5000000000")[0] == {"a": 2.5, "b": 2.5, "dictHash": old}
        publish(tmp_path / "v2", tmp_path / "served" / "m.onnx")
        daemon.wait_for_log("m replaced")
        answer = session.run(x=2.0)
        assert (answer.data, session.fetches) == ({"a": 4, "b": 4}, 2)
        assert session.hash == answer.dict_hash != old
        assert session.run(x=1.5).data == {"a": 3.5, "b": 3.5}
        daemon.wait_until(lambda: kept(daemon, session, "1.5000000000")[0]["dictHash"] == session.hash)
        assert session.run(x=1.5).status == "cached"
        assert session.fetches == 2
