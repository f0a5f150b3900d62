"""A version would serve with the wrong chain around its model, or leave threads and memory, if these failed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlserve.assemble import MAX_QUEUED_ROWS, Assembler
from mlserve.config.schema import BatchConfig, Config, ModelConfig, TestConfig
from mlserve.errors import LoadError
from mlserve.observe.metrics import Metrics
from mlserve.serving.loader import Assembled, NotByRows, Version
from mlserve.types import Array, DType, InputField, Interface, Rows, Serving
from tests.support.deployments import as_lists, context, interface, rows
from tests.support.models import FakeModel, Gate, double


def version(model: FakeModel, face: Interface | None = None, file: Path | None = None, **config: Any) -> Version:
    return Version(ModelConfig(id="m", url="m.onnx", **config), model, face or interface(), "0" * 64, file)


async def assembled(
    model: FakeModel, face: Interface | None = None, file: Path | None = None, **config: Any
) -> Assembled:
    return await Assembler(Config(), Metrics())(version(model, face, file, **config))


async def test_rows_go_through_rounding_model_and_transformer_in_that_order(tmp_path: Path) -> None:
    """The transformer sees what the model saw, and its answer is the answer."""
    file = tmp_path / "t.py"
    file.write_text("def f(inputs, outputs):\n    return {'x': inputs['x'], 'y': outputs['y']}\n", encoding="utf-8")
    model = FakeModel()
    face = interface(InputField("x", DType.FLOAT32, (), precision=1), outputs=None)
    made = await assembled(model, face, file, transformer="t.py:f")
    answer = await made.predict(rows(x=[1.26]), context())
    assert as_lists(answer) == {"x": [float(np.float32(1.3))], "y": [float(np.float32(2.6))]}
    await made.close()


async def test_closing_frees_the_model_once_and_its_threads(tmp_path: Path) -> None:
    """300 reloads would leave 300 models."""
    file = tmp_path / "t.py"
    file.write_text("def f(inputs, outputs):\n    return dict(outputs)\n", encoding="utf-8")
    model = FakeModel()
    made = await assembled(model, interface(outputs=None), file, transformer="t.py:f")
    await made.predict(rows(x=[1]), context())
    await made.close()
    await made.close()
    assert model.closed == 1


async def test_the_first_runs_are_behind_it_before_it_serves() -> None:
    """The first caller would pay for the runtime's warm-up."""
    model = FakeModel(loop_safe=True)
    made = await assembled(model, test=TestConfig(single={"x": 5}))
    assert model.calls
    assert {value for call in model.calls for value in call["x"].tolist()} == {5.0}
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


async def test_a_transformer_that_cannot_be_loaded_fails_the_version() -> None:
    """And leaves the model to whoever loaded it."""
    model = FakeModel()
    with pytest.raises(LoadError, match="there is no 'nothing' in it"):
        await assembled(model, transformer="operator:nothing")
    assert model.closed == 0


async def test_a_transformer_is_imported_off_the_loop(tmp_path: Path) -> None:
    """Its imports may take seconds, in which nobody would be answered."""
    file = tmp_path / "t.py"
    file.write_text(
        "import asyncio\n"
        "try:\n    asyncio.get_running_loop()\nexcept RuntimeError:\n    f = lambda inputs, outputs: {}\n",
        encoding="utf-8",
    )
    made = await assembled(FakeModel(), interface(outputs=None), file, transformer="t.py:f")
    await made.close()


async def test_whole_requests_are_one_run() -> None:
    """Nothing is measured or split by rows."""
    model = FakeModel(lambda inputs: {"y": np.asarray(inputs["x"].sum())})
    face = interface(InputField("x", DType.FLOAT32, (3,)), serving=Serving.WHOLE)
    made = await assembled(model, face)
    answer = await made.predict(Rows({"x": np.ones((1, 3), np.float32)}, 1), context())
    assert answer.columns["y"].tolist() == [3]
    await made.close()


@pytest.mark.parametrize(
    ("own", "all_models", "bound"),
    [
        (None, None, MAX_QUEUED_ROWS),
        (None, BatchConfig(max_queued_rows=9), 9),
        (BatchConfig(max_queued_rows=5), BatchConfig(max_queued_rows=9), 5),
        (BatchConfig(max_batch_size=2), BatchConfig(max_queued_rows=9), 9),
    ],
)
def test_the_bound_of_the_queue_is_the_model_s_then_the_common_one(
    own: BatchConfig | None, all_models: BatchConfig | None, bound: int
) -> None:
    """A bound that nobody reads is none."""
    assembler = Assembler(Config(global_batching=all_models), Metrics())
    assert assembler._max_queued_rows(ModelConfig(id="m", url="m.onnx", batch=own)) == bound


async def test_runs_are_observed_under_the_model_s_id() -> None:
    """Dashboards would show no inference."""
    metrics = Metrics()
    made = await Assembler(Config(), metrics)(version(FakeModel()))
    await made.predict(rows(x=[1]), context())
    assert metrics.registry.get_sample_value("mlserve_infer_seconds_count", {"model": "m"}) == 1
    await made.close()


async def test_rows_at_the_model_are_shown_until_they_are_done() -> None:
    """An operator sees a queue build up before callers are refused."""
    metrics = Metrics()

    def pending() -> float | None:
        return metrics.registry.get_sample_value("mlserve_pending_rows", {"model": "m"})

    with Gate() as gate:
        made = await Assembler(Config(), metrics)(
            version(FakeModel(lambda inputs: gate(inputs) if inputs["x"][0] == 7 else double(inputs)))
        )
        task = asyncio.ensure_future(made.predict(rows(x=[7, 7, 7]), context()))
        await asyncio.to_thread(gate.wait_for_arrival)
        assert pending() == 3
        gate.open()
        await task
    assert pending() == 0
    await made.close()
