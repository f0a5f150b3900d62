"""What every backend promises, whatever its runtime: one suite over every row of the registry."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mlserve.contracts.backend import LoadedModel
from mlserve.errors import BadRequest, LoadError
from mlserve.registry import TABLES, resolve
from mlserve.types import Array, DType, Shape, TensorSpec
from tests.support.zoo import Built, Zoo
from tests.support.zoo.onnx import OnnxZoo
from tests.support.zoo.python import PythonZoo
from tests.support.zoo.tensorflow import SHAPES, TensorFlowZoo

ZOOS = {"onnx": OnnxZoo, "python": PythonZoo, "tensorflow": TensorFlowZoo}
NAMES = sorted(TABLES["backends"])
FLOATS = [0.0, -0.0, 1.5, -2.25, float("inf"), float("-inf"), float("nan"), 0.1]
TEXTS = ["", "a", "é中", "😀", "a\0b\0", " \n", "[UNK]", "x" * 300]


@pytest.fixture(scope="session")
def zoos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Zoo]:
    """Made once: building and importing is most of what these tests cost."""
    return {name: zoo(tmp_path_factory.mktemp(name)) for name, zoo in ZOOS.items()}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    return str(request.param)


@pytest.fixture
def zoo(name: str, zoos: dict[str, Zoo]) -> Zoo:
    return zoos[name]


@contextmanager
def loaded(name: str, built: Built) -> Iterator[LoadedModel]:
    model = resolve("backends", name)().load(built.artifact, built.options)
    try:
        yield model
    finally:
        model.close()


def values(dtype: DType) -> list[Any]:
    """Eight values of ``dtype``, its extremes among them."""
    if dtype is DType.BOOL:
        return [True, False] * 4
    if dtype is DType.STRING:
        return TEXTS
    if dtype.is_integer:
        limits = np.iinfo(dtype.value)
        return [0, 1, 2, 3, 100, 127, int(limits.min), int(limits.max)]
    return FLOATS if dtype.is_float else [complex(number, 1) for number in FLOATS]


def sample(dtype: DType, shape: Shape, rows: int = 4) -> Array:
    """An array that fits ``shape``, with free dimensions of ``rows`` and, further in, of 2."""
    dims = [dim if dim is not None else (2 if axis else rows) for axis, dim in enumerate(shape)]
    flat = np.empty(8, dtype.numpy)
    flat[:] = values(dtype)
    return np.resize(flat, dims) if 0 not in dims else np.empty(dims, dtype.numpy)


def assert_same(got: Array, want: Array) -> None:
    """Equal in dtype, shape and every bit, those of NaN and minus zero included."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if got.dtype == object:
        assert got.tolist() == want.tolist()
    else:
        assert got.tobytes() == want.tobytes()


def test_every_row_of_the_registry_is_tried_here() -> None:
    """A new backend without a zoo would otherwise go untested."""
    assert set(ZOOS) == set(TABLES["backends"])


def test_importing_a_backend_does_not_import_its_runtime(name: str, zoo: Zoo) -> None:
    """A server without TensorFlow could not start."""
    code = f"""
import sys
from mlserve.registry import resolve
resolve("backends", {name!r})()
print([module for module in {zoo.runtime_modules!r} if module in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_dtype_and_rank_goes_round(name: str, zoo: Zoo) -> None:
    """A value would be changed on its way through the runtime."""
    for dtype, shape in product(sorted(zoo.dtypes), SHAPES):
        with loaded(name, zoo.identity(dtype, shape)) as model:
            assert model.signature.inputs == (TensorSpec("x", dtype, shape),)
            assert model.signature.outputs == (TensorSpec("y", dtype, shape),)
            x = sample(dtype, shape)
            assert_same(model.infer({"x": x})["y"], x)


def test_no_rows_are_answered_with_no_rows(name: str, zoo: Zoo) -> None:
    """An empty batch would crash the runtime or change its shape."""
    for dtype in sorted(zoo.dtypes):
        with loaded(name, zoo.identity(dtype, (None, 3))) as model:
            x = sample(dtype, (None, 3), rows=0)
            assert_same(model.infer({"x": x})["y"], x)


def test_views_are_taken_as_they_are(name: str, zoo: Zoo) -> None:
    """Rows cut out of a larger array are not contiguous; a runtime that reads on would mix rows."""
    for dtype in (DType.FLOAT32, DType.STRING, DType.BFLOAT16):
        with loaded(name, zoo.identity(dtype, (None, 3))) as model:
            x = sample(dtype, (None, 6), rows=8)[::2, ::2]
            assert_same(model.infer({"x": x[::-1]})["y"], x[::-1].copy())


def test_text_that_is_not_utf8(name: str, zoo: Zoo) -> None:
    """Bytes would come back changed, or a caller's fault would look like ours."""
    x = np.array(["good", b"\xff\xfe\x80".decode("utf-8", "surrogateescape")], object)
    with loaded(name, zoo.identity(DType.STRING, (None,))) as model:
        if zoo.non_utf8:
            assert_same(model.infer({"x": x})["y"], x)
        else:
            with pytest.raises(BadRequest, match=r"input 'x'.*not UTF-8") as caught:
                model.infer({"x": x})
            assert caught.value.field == "x"


def test_all_outputs_are_answered_by_name(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """Outputs in another order than declared would be mixed up."""
    with loaded(name, zoo.three(tmp_path)) as model:
        outputs = model.infer({"x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)})
        assert sorted(outputs) == sorted(spec.name for spec in model.signature.outputs) == ["double", "size", "total"]
        assert_same(outputs["double"], np.array([[2, 4, 6], [8, 10, 12]], np.float32))
        assert_same(outputs["size"], np.array([3, 3]))
        assert_same(outputs["total"], np.array([6, 15], np.float32))


def test_a_wrong_input_is_the_callers_fault_and_harms_nobody(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """A wrong dtype, shape or name would be a 500, or break the runs that follow."""
    good = {"x": np.ones((2, 3), np.float32)}
    wrong: list[dict[str, Array]] = [
        {"x": np.ones((2, 3), np.float64)},
        {"x": np.array([["a"] * 3], object)},
        {},
    ]
    with loaded(name, zoo.three(tmp_path)) as model:
        for inputs in wrong:
            with pytest.raises(BadRequest, match=r"input 'x'.*float32\[-1,3\]") as caught:
                model.infer(inputs)
            assert caught.value.field == "x"
            assert model.infer(good)["total"].tolist() == [3, 3]


def test_a_run_that_fails_harms_no_other(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """One bad row would take the model down."""
    with loaded(name, zoo.table(tmp_path)) as model:
        for _ in range(3):
            with pytest.raises(Exception, match=r"7|bounds|range"):
                model.infer({"x": np.array([7])})
            assert model.infer({"x": np.array([2, 0])})["y"].tolist() == [30, 10]


def test_eight_threads_get_their_own_answers(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """Runs at the same time would see each other's tensors."""
    start = threading.Barrier(8)

    def work(number: int) -> bool:
        start.wait(10)
        x = np.full((3, 3), number, np.float32)
        return all(model.infer({"x": x})["total"].tolist() == [3.0 * number] * 3 for _ in range(50))

    with loaded(name, zoo.three(tmp_path)) as model, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_two_versions_side_by_side(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """During a reload the old version would answer as the new one, or die with it."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    x = {"x": np.array([1, 2], np.float32)}
    with loaded(name, zoo.scale(old, 2.0)) as first:
        with loaded(name, zoo.scale(new, 3.0)) as second:
            assert first.infer(x)["y"].tolist() == [2, 4]
            assert second.infer(x)["y"].tolist() == [3, 6]
        assert first.infer(x)["y"].tolist() == [2, 4]


def test_a_model_says_what_runs_it(name: str, zoo: Zoo) -> None:
    """The generation would not change with the runtime, or a plain model would never be cached."""
    with loaded(name, zoo.identity(DType.FLOAT32, (None,))) as model:
        assert any(character.isdigit() for character in model.runtime)
        assert model.deterministic is True
        assert isinstance(model.loop_safe, bool)


def test_broken_artefacts_are_refused_in_one_line(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """A half-copied model would serve, crash the server, or explain itself in a page of C++."""
    for built in zoo.broken(tmp_path):
        with pytest.raises(LoadError) as caught, loaded(name, built):
            pass
        text = str(caught.value)
        assert 10 < len(text) < 500, text
        assert "\n" not in text
        assert str(tmp_path) not in text


def test_closing_gives_the_memory_back(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """Every reload would cost memory: 40 of them, 1 MiB of weights each, may not."""
    built = zoo.scale(tmp_path, 2.0)
    process = psutil.Process()

    def cycle(times: int) -> int:
        for _ in range(times):
            with loaded(name, built) as model:
                model.infer({"x": np.ones(4, np.float32)})
        return process.memory_info().rss

    before, threads = cycle(10), process.num_threads()
    assert cycle(40) - before < 12 * 2**20
    assert process.num_threads() < threads + 10
