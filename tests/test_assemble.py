"""A version would serve with the wrong chain around its model, or leave threads and memory, if these failed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from mlserve import assemble as assemble_module
from mlserve import registry
from mlserve.assemble import Assembler
from mlserve.batching.batcher import Batcher
from mlserve.cache.chain import CacheChain
from mlserve.cache.datastores import Datastores
from mlserve.config.schema import BatchConfig, Config
from mlserve.contracts.batching import BatchState
from mlserve.contracts.store import StoreOptions
from mlserve.errors import LoadError, Overloaded
from mlserve.inference import on_loop
from mlserve.inference.runner import Runner
from mlserve.inference.workers import Workers
from mlserve.observe.metrics import Metrics
from mlserve.processors import Processors
from mlserve.serving.loader import Assembled, NotByRows, Version
from mlserve.stores.memory import MemoryStore
from mlserve.types import Array, CacheUse, Context, DType, InputField, Interface, Lookups, Rows, Serving
from tests.support.deployments import as_lists, context, interface, rows
from tests.support.fake_store import FakeStore
from tests.support.models import FakeModel, Gate, double, signature
from tests.support.vocabularies import words

HOT = {"ID": "hot", "Cache": {"SizeMB": 8}}


def version(
    model: FakeModel,
    face: Interface | None = None,
    file: Path | None = None,
    datastore: Mapping[str, Any] | None = None,
    **members: Any,
) -> Version:
    """``members`` by the names of the YAML file; a ``datastore`` is named by the model."""
    named = {"DataStore": datastore["ID"]} if datastore else {}
    tree = {
        "Models": [{"ID": "m", "URL": "m.onnx", **named, **members}],
        "Datastores": [datastore] if datastore else [],
    }
    (config,) = Config.model_validate(tree).wanted_models()
    return Version(config, model, face or interface(), "0123456789abcdef" * 4, file)


async def assembled(
    model: FakeModel,
    face: Interface | None = None,
    file: Path | None = None,
    datastore: Mapping[str, Any] | None = None,
    **members: Any,
) -> Assembled:
    return await Assembler(Metrics(), Datastores())(version(model, face, file, datastore, **members))


async def statuses(made: Assembled, *values: float) -> list[str]:
    """What ``Cache-Status`` says of requests for these, one after the other."""
    said = []
    for value in values:
        asked = context()
        await made.predict(rows(x=[value]), asked)
        said.append(asked.cache_status.partition("; ttl")[0])
    return said


async def test_rows_go_through_rounding_model_and_transformer_in_that_order(tmp_path: Path) -> None:
    """The transformer sees what the model saw, and its answer is the answer."""
    file = tmp_path / "t.py"
    file.write_text("def f(inputs, outputs):\n    return {'x': inputs['x'], 'y': outputs['y']}\n", encoding="utf-8")
    model = FakeModel()
    face = interface(InputField("x", DType.FLOAT32, (), precision=1), outputs=None)
    made = await assembled(model, face, file, Transformer="t.py:f")
    answer = await made.predict(rows(x=[1.26]), context())
    assert as_lists(answer) == {"x": [float(np.float32(1.3))], "y": [float(np.float32(2.6))]}
    await made.close()


async def test_outputs_that_nobody_asked_for_go_no_further() -> None:
    """Neither into the cache nor to callers."""
    model = FakeModel(
        lambda inputs: {"y": inputs["x"], "z": inputs["x"]},
        signature(outputs={"y": (DType.FLOAT32, (None,)), "z": (DType.FLOAT32, (None,))}),
    )
    made = await assembled(model, datastore=HOT)
    for _ in range(2):
        assert as_lists(await made.predict(rows(x=[1]), context())) == {"y": [1]}
    await made.close()


async def test_the_first_runs_are_behind_it_before_it_serves() -> None:
    """The first caller would pay for the runtime's warm-up."""
    model = FakeModel(loop_safe=True)
    made = await assembled(model, Test={"Single": {"x": 5}})
    assert model.calls
    assert {tuple(set(call["x"].tolist())) for call in model.calls} <= {(5.0,), (1.0,), (5.0, 1.0), (1.0, 5.0)}
    await made.close()


@pytest.mark.parametrize("elements", [1, 2, 3])
async def test_outputs_that_do_not_follow_the_rows_are_found_at_load(elements: int) -> None:
    """Two elements line up with two rows by chance; the second request would then get the first one's answer."""
    model = FakeModel(lambda inputs: {"y": np.zeros(elements, np.float32)})
    with pytest.raises(NotByRows, match="output 'y' has shape"):
        await assembled(model)
    assert model.closed == 0


async def test_a_model_that_refuses_made_up_values_serves_with_a_warning() -> None:
    """It may be right to refuse them; the warning says how to give it better ones."""

    def picky(inputs: Mapping[str, Array]) -> dict[str, Array]:
        if inputs["x"][0] != 7:
            raise ValueError("only 7\nsecond line")
        return {"y": inputs["x"]}

    made = await assembled(FakeModel(picky))
    assert made.warnings == ("not warmed up, made-up values fail (ValueError: only 7); give a row in Test.Single",)
    assert as_lists(await made.predict(rows(x=[7]), context())) == {"y": [7]}
    await made.close()


async def test_a_model_that_takes_only_its_test_row_has_no_warning() -> None:
    """The other row that it is tried with is ours: it may refuse that."""

    def picky(inputs: Mapping[str, Array]) -> dict[str, Array]:
        if set(inputs["x"].tolist()) != {7.0}:
            raise ValueError("only 7")
        return {"y": inputs["x"]}

    made = await assembled(FakeModel(picky), datastore=HOT, Test={"Single": {"x": 7}})
    assert made.warnings == ()
    assert await statuses(made, 7, 7) == ["mlserve; fwd=miss; stored", "memory; hit"]
    await made.close()


async def test_a_transformer_that_cannot_be_loaded_fails_the_version() -> None:
    """And leaves the model to whoever loaded it."""
    model = FakeModel()
    with pytest.raises(LoadError, match="there is no 'nothing' in it"):
        await assembled(model, Transformer="operator:nothing")
    assert model.closed == 0


async def test_a_transformer_is_imported_off_the_loop(tmp_path: Path) -> None:
    """Its imports may take seconds, in which nobody would be answered."""
    file = tmp_path / "t.py"
    file.write_text(
        "import asyncio\n"
        "try:\n    asyncio.get_running_loop()\nexcept RuntimeError:\n    f = lambda inputs, outputs: {}\n",
        encoding="utf-8",
    )
    made = await assembled(FakeModel(), interface(outputs=None), file, Transformer="t.py:f")
    await made.close()


class TestCaching:
    async def test_a_datastore_with_memory_caches(self) -> None:
        """One run for two requests; the self-test and what asks for it pass the cache by."""
        model = FakeModel()
        made = await assembled(model, datastore=HOT)
        assert made.cache.not_cached is None
        runs = len(model.calls)
        assert await statuses(made, 3, 3) == ["mlserve; fwd=miss; stored", "memory; hit"]
        assert len(model.calls) == runs + 1
        bypass = Context(asyncio.get_running_loop().time() + 9, cache=CacheUse.NO_STORE)
        await made.predict(rows(x=[3]), bypass)
        assert bypass.cache_status == "mlserve; fwd=bypass"
        await made.close()

    async def test_rounded_rows_are_one_row(self) -> None:
        """The key is that of the value that the model sees."""
        face = interface(InputField("x", DType.FLOAT32, (), precision=1))
        made = await assembled(FakeModel(), face, datastore=HOT)
        assert await statuses(made, 1.01, 0.99) == ["mlserve; fwd=miss; stored", "memory; hit"]
        await made.close()

    async def test_what_a_transformer_returns_is_cached(self, tmp_path: Path) -> None:
        """It runs once for two requests."""
        file = tmp_path / "t.py"
        file.write_text(
            "calls = []\n\ndef f(inputs, outputs):\n    calls.append(1)\n    return {'calls': len(calls)}\n",
            encoding="utf-8",
        )
        made = await assembled(FakeModel(), interface(outputs=None), file, HOT, Transformer="t.py:f")
        answers = [as_lists(await made.predict(rows(x=[1]), context())) for _ in range(2)]
        assert answers == [{"calls": [1]}, {"calls": [1]}]
        await made.close()

    @pytest.mark.parametrize(
        ("datastore", "members", "deterministic", "reason"),
        [
            (None, {}, True, "it names no DataStore"),
            (HOT, {"UseDict": False}, True, "UseDict is false"),
            (HOT, {}, False, "equal inputs may give different outputs"),
            ({"ID": "hot"}, {}, True, "its DataStore has neither a Cache nor a Connection"),
            ({**HOT, "Disabled": True}, {}, True, "its DataStore is disabled"),
        ],
    )
    async def test_why_a_version_is_not_cached(
        self, datastore: dict[str, Any] | None, members: dict[str, Any], deterministic: bool, reason: str
    ) -> None:
        """Nothing is stored, and whoever asks is told why."""
        model = FakeModel()
        model.deterministic = deterministic
        made = await assembled(model, datastore=datastore, **members)
        assert made.cache.not_cached == reason
        assert await statuses(made, 3, 3) == ["", ""]
        (explained,) = await made.cache.explain(rows(x=[3]), monotonic() + 1)
        assert explained["tiers"] == {"memory": {"state": "off", "reason": reason}}
        await made.close()

    async def test_models_of_one_datastore_share_its_memory_and_versions_their_entries(self) -> None:
        """A configuration that changes nothing of the answer keeps the cache."""
        assembler = Assembler(Metrics(), Datastores())
        first = await assembler(version(FakeModel(), datastore=HOT))
        assert await statuses(first, 3) == ["mlserve; fwd=miss; stored"]
        again = await assembler(version(FakeModel(), datastore={**HOT, "TimeToLiveMs": 1000}))
        assert await statuses(again, 3) == ["memory; hit"]
        await first.close()
        await again.close()

    async def test_the_time_to_live_is_the_datastore_s(self) -> None:
        """Shortened by a tenth at most."""
        made = await assembled(FakeModel(), datastore={**HOT, "TimeToLiveMs": 10_000})
        await statuses(made, 3)
        (explained,) = await made.cache.explain(rows(x=[3]), monotonic() + 1)
        assert 8.5 <= explained["tiers"]["memory"]["ttl_s"] <= 10  # type: ignore[index]
        await made.close()


class TestExternalTiers:
    @pytest.fixture(autouse=True)
    def _no_servers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "resolve", lambda kind, name: MemoryStore if name == "memory" else Away)

    @staticmethod
    def version(face: Interface, link: dict[str, Any], file: Path | None = None, **members: Any) -> Version:
        transformer = {"Transformer": "t.py:f"} if file else {}
        tree = {
            "Models": [{"ID": "m", "URL": "m.onnx", "DataStore": "d", **transformer}],
            "Datastores": [{"ID": "d", "Connection": "c", **members}],
            "Connections": [{"ID": "c", **link}],
        }
        (config,) = Config.model_validate(tree).wanted_models()
        return Version(config, FakeModel(), face, "0123456789abcdef" * 4, file)

    async def test_a_store_that_is_away_costs_no_answer_and_no_flight(self) -> None:
        """A version is cached though nothing of its chain is there yet; its connection ends with it."""
        datastores = Datastores()
        assembler = Assembler(Metrics(), datastores)
        made = await assembler(self.version(interface(), {"URL": "redis://h"}))
        assert made.cache.not_cached is None
        await datastores.external.tried(5)
        assert datastores.external.connections[0].down == "away"
        assert (await statuses(made, 3))[0] == "mlserve; fwd=miss; stored"
        await made.close()
        assert datastores.external.connections == []

    async def test_a_model_that_fits_no_record_is_not_cached_by_records_alone(self) -> None:
        """Headers would say "stored" of answers that nobody keeps; the one warning says why."""
        datastores = Datastores()
        face = interface(InputField("x", DType.FLOAT32, (2,)), dict_hash=5)
        link, members = {"Hostnames": "h"}, {"Namespace": "n", "Dataset": "s"}
        made = await Assembler(Metrics(), datastores)(self.version(face, link, **members))
        (warning,) = made.warnings
        assert warning.startswith("l1 keeps none of its answers")
        assert made.cache.not_cached == warning
        await made.close()
        assert datastores.external.connections == []
        cached = await Assembler(Metrics(), datastores)(self.version(face, link, Cache={"SizeMB": 1}, **members))
        assert cached.cache.not_cached is None
        assert len(cached.warnings) == 1
        await cached.close()

    @pytest.mark.parametrize("cache", [{}, {"Cache": {"SizeMB": 1}}], ids=["alone", "behind memory"])
    async def test_records_that_a_transformer_made_are_off_and_said_to_be(
        self, cache: dict[str, Any], tmp_path: Path
    ) -> None:
        """Such a tier never gives a hit: ``explain`` would blame the record, and nobody know why the model is busy."""
        file = tmp_path / "t.py"
        file.write_text("def f(inputs, outputs):\n    return dict(outputs)\n", encoding="utf-8")
        face = interface(InputField("x", DType.FLOAT32, (), precision=3), outputs=None, dict_hash=5)
        version = self.version(face, {"Hostnames": "h"}, file, Namespace="n", Dataset="s", **cache)
        made = await Assembler(Metrics(), Datastores())(version)
        (document,) = await made.cache.explain(rows(x=[1]), monotonic() + 1)
        tier = document["tiers"]["l1"]  # type: ignore[index]
        assert tier["state"] == "off"
        assert tier["reason"].startswith("written for mly's clients alone: a transformer decides")
        assert made.warnings == (() if cache else (f"l1 is {tier['reason']}; give its datastore a Cache",))
        assert made.cache.not_cached is None
        await made.close()


class Away(FakeStore):
    """Cannot be opened."""

    def __init__(self, options: StoreOptions) -> None:
        super().__init__()
        self.down = "away"


class TestFolding:
    @staticmethod
    async def made(function: Callable[[str], float]) -> Assembled:
        """A model of ``s`` that says it looks its words up, and answers by ``function``."""
        known = Lookups("looked up in the table 't'", words("de", "fr"))
        face = interface(InputField("s", DType.STRING, (), lookups=known))
        model = FakeModel(
            lambda inputs: {"y": np.array([function(s) for s in inputs["s"].tolist()], np.float32)},
            signature({"s": (DType.STRING, (None,))}),
        )
        return await assembled(model, face, datastore=HOT)

    @staticmethod
    async def statuses(made: Assembled, *values: str) -> list[str]:
        said = []
        for value in values:
            asked = context()
            await made.predict(rows(s=[value]), asked)
            said.append(asked.cache_status.partition("; ttl")[0])
        return said

    async def test_unknown_words_share_an_answer(self) -> None:
        """What the model cannot tell apart is computed once."""
        made = await self.made(lambda word: float({"de": 1, "fr": 2}.get(word, 0)))
        assert made.warnings == ()
        assert await self.statuses(made, "xx", "yy", "de") == [
            "mlserve; fwd=miss; stored",
            "memory; hit",
            "mlserve; fwd=miss; stored",
        ]
        await made.close()

    async def test_a_model_that_was_seen_to_tell_unknown_words_apart_is_asked_for_each(self) -> None:
        """Whatever was proved of it: one caller would get the answer of another. One warning says so."""
        made = await self.made(lambda word: float(len(word)))
        (warning,) = made.warnings
        assert warning == "input 's': values out of its vocabulary get different answers, so each is exact"
        assert await self.statuses(made, "xx", "yyy", "xx") == [
            "mlserve; fwd=miss; stored",
            "mlserve; fwd=miss; stored",
            "memory; hit",
        ]
        assert as_lists(await made.predict(rows(s=["yyy"]), context())) == {"y": [3]}
        assert made.interface is not None
        (field,) = made.interface.inputs
        assert field.lookups is not None
        assert field.lookups.every is None
        (explained,) = await made.cache.explain(rows(s=["xx"]), monotonic() + 1)
        assert explained["key"] == "xx"
        await made.close()


COUNTER = itertools.count()
LEAKY: list[Callable[[Mapping[str, Array]], dict[str, Array]]] = [
    lambda inputs: {"y": inputs["x"] - inputs["x"].mean()},
    lambda inputs: {"y": inputs["x"] + np.asarray(next(COUNTER), np.float32)},
]


class TestDependentRows:
    @pytest.mark.parametrize("leaky", LEAKY, ids=["batch mean", "counter"])
    @pytest.mark.parametrize("test", [None, {"Single": {"x": 5}}], ids=["made-up row", "test row"])
    async def test_a_model_whose_rows_leak_is_neither_batched_nor_cached(
        self, leaky: Callable[[Mapping[str, Array]], dict[str, Array]], test: dict[str, Any] | None
    ) -> None:
        """With one warning that names the output; also where ``Test`` gives the whole row."""
        model = FakeModel(leaky)
        made = await assembled(model, datastore=HOT, Test=test)
        (warning,) = made.warnings
        assert "output 'y'" in warning
        assert warning.endswith(": this version is neither batched nor cached")
        assert made.cache.not_cached == warning.removesuffix(": this version is neither batched nor cached")
        model.calls.clear()
        await asyncio.gather(*(made.predict(rows(x=[value]), context()) for value in (1, 1, 2)))
        assert [len(call["x"]) for call in model.calls] == [1, 1, 1]
        await made.close()

    async def test_a_model_that_says_it_is_random_is_not_tried(self) -> None:
        """It is right to differ: no warning, batched, not cached."""
        model = FakeModel(LEAKY[1])
        model.deterministic = False
        made = await assembled(model, datastore=HOT)
        assert made.warnings == ()
        assert made.cache.not_cached == "equal inputs may give different outputs"
        await made.close()


class TestBatching:
    @staticmethod
    async def sizes(face: Interface | None = None, model: FakeModel | None = None, **members: Any) -> list[int]:
        """The rows of each run, for ten requests that come while a run is held."""
        with Gate() as gate:

            def held(inputs: Mapping[str, Array]) -> dict[str, Array]:
                return gate(inputs) if inputs["x"].ravel()[0] == 77 else double(inputs)

            model = FakeModel(held) if model is None else model
            made = await assembled(model, face, **{"Batch": {"MaxEvaluatorConcurrency": 1}, **members})
            model.calls.clear()
            first = asyncio.ensure_future(made.predict(rows(x=[77]), context()))
            await asyncio.to_thread(gate.wait_for_arrival)
            others = [asyncio.ensure_future(made.predict(rows(x=[value]), context())) for value in range(10)]
            for _ in range(3):
                await asyncio.sleep(0)  # all of them stand in line
            gate.open()
            answers = [as_lists(await other)["y"] for other in others]
            assert answers == [[2 * value] for value in range(10)]
            await first
            await made.close()
            return [len(call["x"]) for call in model.calls]

    async def test_rows_that_come_during_a_run_form_the_next(self) -> None:
        """By default, for models served by rows."""
        assert await self.sizes() == [1, 10]

    async def test_a_batch_has_its_cap(self) -> None:
        assert await self.sizes(Batch={"MaxBatchSize": 4, "MaxEvaluatorConcurrency": 1}) == [1, 4, 4, 2]

    async def test_a_wait_below_zero_switches_it_off(self) -> None:
        """As in mly."""
        assert await self.sizes(Batch={"BatchWait": -1, "MaxEvaluatorConcurrency": 1}) == [1] * 11

    async def test_a_model_of_one_row_is_run_one_at_a_time(self) -> None:
        """Nothing is gained by joining what is cut again."""
        face = interface(serving=Serving.ONE)
        assert await self.sizes(face, Batch={"MaxEvaluatorConcurrency": 1}) == [1] * 11

    async def test_whole_requests_are_one_run(self) -> None:
        """Nothing is measured, split or joined by rows; they are cached by all of them."""
        model = FakeModel(lambda inputs: {"y": np.asarray(inputs["x"].sum())})
        face = interface(InputField("x", DType.FLOAT32, (3,)), serving=Serving.WHOLE)
        made = await assembled(model, face, datastore=HOT)
        model.calls.clear()
        asked = [Rows({"x": np.full((1, 3), value, np.float32)}, 1) for value in (1, 2, 1)]
        answers = await asyncio.gather(*(made.predict(one, context()) for one in asked))
        assert [answer.columns["y"].tolist() for answer in answers] == [[3], [6], [3]]
        assert [call["x"].shape for call in model.calls] == [(3,), (3,)]
        await made.close()

    async def test_the_bound_of_the_queue_counts_rows_that_wait_and_once(self) -> None:
        """Rows that run are not waiting, however many of them fit a batch; the callers beyond get 429."""
        with Gate() as gate:

            def held(inputs: Mapping[str, Array]) -> dict[str, Array]:
                return gate(inputs) if inputs["x"][0] == 77 else double(inputs)

            batch = {"MaxEvaluatorConcurrency": 2, "MaxQueuedRows": 3}
            made = await assembled(FakeModel(held), Batch=batch)
            large = asyncio.ensure_future(made.predict(rows(x=[77] * 50), context()))
            await asyncio.to_thread(gate.wait_for_arrival)
            assert as_lists(await made.predict(rows(x=[1, 2]), context())) == {"y": [2, 4]}  # beside it, at once
            second = asyncio.ensure_future(made.predict(rows(x=[77]), context()))
            await asyncio.to_thread(gate.wait_for_arrival)
            waiting = [asyncio.ensure_future(made.predict(rows(x=[value]), context())) for value in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="3 rows waiting; its limit is 3"):
                await made.predict(rows(x=[9]), context())
            gate.open()
            await asyncio.gather(large, second, *waiting)
            await made.close()

    def test_all_models_share_global_batching_unless_they_have_their_own(self) -> None:
        """A bound that nobody reads is none."""
        both = [{"ID": "own", "URL": "u", "Batch": {"MaxQueuedRows": 5}}, {"ID": "common", "URL": "u"}]
        config = Config.model_validate({"Models": both, "GlobalBatching": {"MaxQueuedRows": 9}})
        assert [model.batch for model in config.wanted_models()] == [
            BatchConfig(max_queued_rows=5),
            BatchConfig(max_queued_rows=9),
        ]


class TestClosing:
    async def test_it_frees_the_model_once_and_its_threads(self, tmp_path: Path) -> None:
        """300 reloads would leave 300 models."""
        file = tmp_path / "t.py"
        file.write_text("def f(inputs, outputs):\n    return dict(outputs)\n", encoding="utf-8")
        model = FakeModel()
        made = await assembled(model, interface(outputs=None), file, HOT, Transformer="t.py:f")
        await made.predict(rows(x=[1]), context())
        await made.close()
        await made.close()
        assert model.closed == 1

    async def test_what_is_outside_closes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A flight ends in the transformer, a transformer's rows in a batch, a batch in the model."""
        closed: list[str] = []

        def noting(kind: type[Any], name: str) -> None:
            close = kind.close

            async def noted(self: Any, *arguments: Any) -> None:
                if type(self) is kind and not (kind is Workers and "transformer" not in self._name):
                    closed.append(name)
                await close(self, *arguments)

            monkeypatch.setattr(kind, "close", noted)

        noting(CacheChain, "chain")
        noting(Workers, "transformer")
        noting(Batcher, "batcher")
        noting(Runner, "runner")
        file = tmp_path / "t.py"
        file.write_text("def f(inputs, outputs):\n    return dict(outputs)\n", encoding="utf-8")
        made = await assembled(FakeModel(), interface(outputs=None), file, HOT, Transformer="t.py:f")
        await made.close()
        assert closed == ["chain", "transformer", "batcher", "runner"]

    async def test_a_flight_that_outlived_its_caller_ends_before_the_model_goes(self) -> None:
        """To free a model under a run would end the process; and its answer is stored for the next version."""
        with Gate() as gate:
            model = FakeModel(lambda inputs: gate(inputs) if inputs["x"][0] == 77 else double(inputs))
            made = await assembled(model, datastore=HOT)
            caller = asyncio.ensure_future(made.predict(rows(x=[77]), context()))
            await asyncio.to_thread(gate.wait_for_arrival)
            caller.cancel()
            await asyncio.wait([caller])
            closing = asyncio.ensure_future(made.close())
            await asyncio.sleep(0)
            assert not model.closed
            gate.open()
            await closing
        assert model.closed == 1
        assert not model.closed_while_running
        assert list(made.cache.hot_keys(5)) == ["77.0"]


async def test_runs_are_observed_under_the_model_s_id() -> None:
    """Dashboards would show no inference."""
    metrics = Metrics()
    made = await Assembler(metrics, Datastores())(version(FakeModel()))
    await made.predict(rows(x=[1]), context())
    assert metrics.registry.get_sample_value("mlserve_infer_seconds_count", {"model": "m"}) == 1
    await made.close()


async def test_runs_that_leave_the_loop_are_counted_under_the_model_s_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator would see neither that a model slowed down, nor which."""
    metrics = Metrics()
    made = await Assembler(metrics, Datastores())(version(FakeModel(loop_safe=True)))
    monkeypatch.setattr(on_loop, "LIMIT_S", 1e-12)  # after the load: from here on, every run is slow
    for _ in range(on_loop.MOST_OWED // on_loop.HEAVIEST + 5):
        await made.predict(rows(x=[1]), context())
    assert metrics.registry.get_sample_value("mlserve_left_loop_total", {"model": "m"}) == 1
    await made.close()


async def test_lookups_are_observed_under_the_model_s_id() -> None:
    """Nor any hit rate."""
    metrics = Metrics()
    made = await Assembler(metrics, Datastores())(version(FakeModel(), datastore=HOT))
    await statuses(made, 1, 1, 1)
    labels = {"model": "m", "tier": "memory"}
    values = {
        result: metrics.registry.get_sample_value("mlserve_cache_lookups_total", {**labels, "result": result})
        for result in ("hit", "miss")
    }
    assert values == {"hit": 2, "miss": 1}
    await made.close()


async def test_rows_at_the_model_are_shown_until_they_are_done() -> None:
    """An operator sees a queue build up before callers are refused."""
    metrics = Metrics()

    def pending() -> float | None:
        return metrics.registry.get_sample_value("mlserve_pending_rows", {"model": "m"})

    with Gate() as gate:
        made = await Assembler(metrics, Datastores())(
            version(FakeModel(lambda inputs: gate(inputs) if inputs["x"][0] == 7 else double(inputs)))
        )
        task = asyncio.ensure_future(made.predict(rows(x=[7, 7, 7]), context()))
        await asyncio.to_thread(gate.wait_for_arrival)
        assert pending() == 3
        gate.open()
        await task
    assert pending() == 0
    await made.close()


@pytest.mark.parametrize(("said", "runs"), [({}, 3), ({"MaxEvaluatorConcurrency": 2}, 2)])
async def test_as_many_runs_at_once_as_processors_unless_it_is_said(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], runs: int
) -> None:
    """In a container with two of sixty-four, sixty-four threads would only stop one another."""
    monkeypatch.setattr(assemble_module, "processors", lambda: Processors(3, "cgroup cpu.max"))
    with Gate() as gate:
        model = FakeModel(lambda inputs: gate(inputs) if inputs["x"][0] == 7 else double(inputs))
        made = await assembled(model, Batch={"BatchWait": -1, **said})
        model.calls.clear()
        asked = [asyncio.ensure_future(made.predict(rows(x=[7]), context())) for _ in range(5)]
        for _ in range(runs):
            await asyncio.to_thread(gate.wait_for_arrival)
        assert len(model.calls) == runs
        gate.open()
        await asyncio.gather(*asked)
    await made.close()


async def test_how_a_batcher_is_can_be_asked_of_the_version() -> None:
    """``meta/stats`` shows it; nothing where rows are not batched."""
    made = await assembled(FakeModel(), Batch={"BatchWait": "3ms"})
    assert made.batching is not None
    assert made.batching() == BatchState(runs=0, waiting=0, full=False, window_s=0.003)
    await made.close()
    made = await assembled(FakeModel(), Batch={"BatchWait": -1})
    assert made.batching is None
    await made.close()
