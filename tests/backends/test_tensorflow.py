"""SavedModels: of other makers and times, half there, with state, and on devices that are not."""

from __future__ import annotations

import gc
import logging
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mlserve.backends import tensorflow_runtime
from mlserve.backends.tensorflow import TensorFlowBackend
from mlserve.contracts.backend import LoadOptions
from mlserve.errors import BadRequest, LoadError, MissingPackage
from mlserve.types import DType, TensorSpec
from tests.support.zoo.tensorflow import TensorFlowZoo, save_graph

FOLDERS = {"sli": "string_lookups_int_model", "slf": "string_lookups_float_model", "fli": "float_input_int_model"}


def load(folder: Path, **options: Any) -> Any:
    return TensorFlowBackend().load(folder, LoadOptions(**options))


def columns(loaded: Any, request: dict[str, Any]) -> dict[str, Any]:
    """An eval body as the tensors that it stands for."""
    rows = request.get("batch_size", 1)
    arrays = {}
    for spec in loaded.signature.inputs:
        value = request[spec.name]
        items = value if isinstance(value, list) else [value]
        arrays[spec.name] = np.array(items * (rows if len(items) == 1 else 1), spec.dtype.numpy).reshape(rows, 1)
    return arrays


def test_models_saved_by_tensorflow_2_4(mly_models: Path, expected: list[dict[str, Any]]) -> None:
    """Users of mly could not bring their models."""
    loaded = {key: load(mly_models / name) for key, name in FOLDERS.items()}
    for case in expected:
        model, data = loaded[case["model"]], case["data"]
        answers = [row["expand"] for row in (data if isinstance(data, list) else [data])]
        got = model.infer(columns(model, case["request"]))["expand"].ravel().tolist()
        answers = answers * len(got) if len(answers) == 1 else answers
        assert got == pytest.approx(answers, rel=1e-6), case
    for model in loaded.values():
        assert model.deterministic
        model.close()


@pytest.mark.usefixtures("lenient")
def test_a_keras_model_with_lookups(tensorflow: Any, tmp_path: Path) -> None:
    """Today's Keras saves tables, assets and variables in other ways than 2021's."""
    import keras

    layers = keras.layers
    island = keras.Input((1,), dtype="string", name="island")
    year = keras.Input((1,), dtype="int64", name="year")
    mass = keras.Input((1,), dtype="float32", name="mass")
    normal = layers.Normalization(mean=4.0, variance=4.0)
    joined = layers.Concatenate()(
        [
            tensorflow.keras.ops.cast(layers.StringLookup(vocabulary=["Biscoe", "Dréam"])(island), "float32"),
            tensorflow.keras.ops.cast(layers.IntegerLookup(vocabulary=[2007, 2008])(year), "float32"),
            normal(mass),
        ]
    )
    keras.Model([island, year, mass], joined).export(str(tmp_path / "keras"), verbose=False)
    loaded = load(tmp_path / "keras")
    assert [spec.name for spec in loaded.signature.inputs] == ["island", "mass", "year"]
    (output,) = loaded.infer(
        {
            "island": np.array([["Dréam"], ["Mars"]], object),
            "mass": np.array([[8], [2]], np.float32),
            "year": np.array([[2008], [1900]]),
        }
    ).values()
    assert output.tolist() == [[2, 2, 2], [0, 0, -1]]
    assert loaded.deterministic
    loaded.close()


@pytest.mark.usefixtures("lenient")
def test_functions_loops_and_named_signatures(tensorflow: Any, tmp_path: Path) -> None:
    """Ops that wait for one another could lock up the one thread that runs them."""

    class Module(tensorflow.Module):
        @tensorflow.function(input_signature=[tensorflow.TensorSpec([None], tensorflow.float32, name="x")])
        def squares(self, x: Any) -> Any:
            return {"y": tensorflow.map_fn(lambda item: item * item, x)}

        @tensorflow.function(input_signature=[tensorflow.TensorSpec([None], tensorflow.float32, name="x")])
        def noise(self, x: Any) -> Any:
            return {"y": tensorflow.map_fn(lambda item: item + tensorflow.random.normal([]), x)}

    module = Module()
    tensorflow.saved_model.save(module, str(tmp_path), signatures={"squares": module.squares, "noise": module.noise})
    squares, noise = load(tmp_path, signature="squares"), load(tmp_path, signature="noise")
    assert squares.infer({"x": np.array([1, 2, 3], np.float32)})["y"].tolist() == [1, 4, 9]
    assert (squares.deterministic, noise.deterministic) == (True, False)
    squares.close()
    noise.close()
    with pytest.raises(LoadError, match="no signature 'serving_default'; there are: noise, squares"):
        load(tmp_path)


def test_only_what_an_answer_depends_on_makes_it_vary(tmp_path: Path) -> None:
    """A model that counts would be cached; one with an idle random op would not."""

    def build(tensorflow: Any) -> Any:
        v1 = tensorflow.compat.v1
        x = v1.placeholder("float32", [None])
        counter = v1.get_variable("calls", initializer=0.0, use_resource=True)
        with v1.control_dependencies([counter.assign_add(1.0)]):
            counted = x + counter.read_value()
        shuffled, seeded = v1.random_shuffle(x), x + tensorflow.random.stateless_normal([], seed=[1, 2])
        outputs = {"plain": x + 1.0, "counted": counted, "shuffled": shuffled, "seeded": seeded}
        return {name: ({"x": x}, {"y": y}) for name, y in outputs.items()}

    save_graph(tmp_path / "m", build)
    found = {}
    for name in ("plain", "counted", "shuffled", "seeded"):
        loaded = load(tmp_path / "m", signature=name)
        found[name] = loaded.deterministic
        loaded.close()
    assert found == {"plain": True, "counted": False, "shuffled": False, "seeded": True}


def test_an_output_that_is_an_input(tmp_path: Path) -> None:
    """TensorFlow refuses to fetch what it is fed; the model would not load."""

    def build(tensorflow: Any) -> Any:
        x = tensorflow.compat.v1.placeholder("float32", [None])
        return {"serving_default": ({"x": x}, {"same": x, "twice": x * 2})}

    loaded = load(save_graph(tmp_path / "m", build))
    answer = loaded.infer({"x": np.array([3], np.float32)})
    assert {name: value.tolist() for name, value in answer.items()} == {"same": [3], "twice": [6]}
    loaded.close()


def test_text_format_tags_and_ranks(tensorflow: Any, tmp_path: Path) -> None:
    """Graphs saved as text, under other tags, or of unknown rank would not be found or refused."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    def build(tensorflow: Any) -> Any:
        x = tensorflow.compat.v1.placeholder("string", None)
        return {"serving_default": ({"x": x}, {"y": tensorflow.strings.upper(x)})}

    folder = save_graph(tmp_path / "m", build, tags=("serve", "gpu"))
    binary = folder / "saved_model.pb"
    proto = SavedModel.FromString(binary.read_bytes())
    (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(proto), encoding="utf-8")
    binary.unlink()
    assert TensorFlowBackend().claims(["saved_model.pbtxt"])
    loaded = load(folder, tags=("gpu", "serve"))
    assert loaded.signature.inputs == (TensorSpec("x", DType.STRING, None),)
    assert loaded.infer({"x": np.array("ab", object)})["y"].tolist() == "AB"
    loaded.close()
    with pytest.raises(LoadError, match=r"tagged \{serve\}; there are: \{gpu, serve\}"):
        load(folder)


def test_types_nobody_can_send_are_named(tmp_path: Path) -> None:
    """A model would load and then fail each request."""

    def build(tensorflow: Any) -> Any:
        v1 = tensorflow.compat.v1
        sparse, quantized = v1.sparse_placeholder("float32"), v1.placeholder("qint8", [None])
        dense = tensorflow.sparse.to_dense(sparse)
        return {"sparse": ({"s": sparse}, {"y": dense}), "quantized": ({"q": quantized}, {"y": dense})}

    save_graph(tmp_path / "m", build)
    with pytest.raises(LoadError, match="input 's' is a sparse tensor"):
        load(tmp_path / "m", signature="sparse")
    with pytest.raises(LoadError, match="input 'q' has the type qint8"):
        load(tmp_path / "m", signature="quantized")


def test_half_a_model_is_named_as_such(tmp_path: Path) -> None:
    """A folder that is still being written would serve zeros, or fail at its first request."""
    (tmp_path / "whole").mkdir()
    whole = TensorFlowZoo(tmp_path).scale(tmp_path / "whole", 2.0).artifact
    assert whole is not None
    without_shard = shutil.copytree(whole, tmp_path / "a")
    (without_shard / "variables" / "variables.data-00000-of-00001").unlink()
    with pytest.raises(LoadError, match=r"variables/variables\.data-00000-of-00001 is missing \(1 of 1 shards\)"):
        load(without_shard)
    without_index = shutil.copytree(whole, tmp_path / "b")
    shutil.rmtree(without_index / "variables")
    with pytest.raises(LoadError, match=r"variables/variables\.index is missing"):
        load(without_index)
    two_shards = shutil.copytree(whole, tmp_path / "c")
    index = two_shards / "variables" / "variables.index"
    content = bytearray(index.read_bytes())
    assert content[3:5] == b"\x08\x01"  # num_shards = 1
    content[4] = 2
    index.write_bytes(content)
    with pytest.raises(LoadError, match=r"variables\.data-00000-of-00002 is missing \(2 of 2 shards\)"):
        load(two_shards)


def test_half_a_surrogate_pair_is_the_callers_fault(tmp_path: Path) -> None:
    """A JSON string such as "\\ud800" would be an internal error."""
    built = TensorFlowZoo(tmp_path).identity(DType.STRING, (None,))
    loaded = load(built.artifact or tmp_path, signature=built.options.signature)
    with pytest.raises(BadRequest, match="input 'x' holds half a surrogate pair"):
        loaded.infer({"x": np.array(["\ud800"], object)})
    loaded.close()


def test_each_model_has_its_own_threads(tmp_path: Path) -> None:
    """``Threads`` of all models but the first would be ignored: TensorFlow shares one pool unless told otherwise."""
    folder = TensorFlowZoo(tmp_path).scale(tmp_path, 2.0).artifact
    assert folder is not None
    process = psutil.Process()
    one = load(folder)
    before = process.num_threads()
    many = load(folder, threads=6)
    assert process.num_threads() - before >= 5
    many.close()
    one.close()


def test_closing_needs_no_garbage_collector(tmp_path: Path) -> None:
    """A server that froze its heap, as ours does, would keep every graph it ever loaded."""
    folder = TensorFlowZoo(tmp_path).scale(tmp_path, 2.0).artifact
    assert folder is not None
    gc.disable()
    try:
        loaded = load(folder)
        graph = weakref.ref(loaded._session._graph)
        loaded.close()
        assert graph() is None
    finally:
        gc.enable()


class TestDevices:
    """``Providers``: what is absent is said."""

    @pytest.fixture(autouse=True)
    def no_gpu(self, tensorflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tensorflow.config, "list_physical_devices", lambda kind: [])

    def test_the_next_one_serves(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A server meant for a GPU would run on the CPU without a word."""
        built = TensorFlowZoo(tmp_path).table(tmp_path)
        with caplog.at_level(logging.WARNING):
            loaded = load(built.artifact or tmp_path, providers=("gpu", "cuda:1", "cpu"))
        assert loaded.runtime.endswith("(cpu)")
        loaded.close()
        assert "no device 'gpu' (it sees no GPU" in caplog.text
        assert "no device 'cuda:1'" in caplog.text

    @pytest.mark.parametrize(
        ("providers", "message"),
        [(("cuda",), "no device 'cuda'.*sees no GPU"), (("tpu", "cpu"), "'tpu' is unknown to TensorFlow")],
    )
    def test_none_is_an_error(self, tmp_path: Path, providers: tuple[str, ...], message: str) -> None:
        """A misspelt or missing device would fall back silently."""
        with pytest.raises(LoadError, match=message):
            load(tmp_path, providers=providers)

    def test_options_of_another_runtime_are_refused(self, tmp_path: Path) -> None:
        """A limit of memory that somebody relies on would be ignored."""
        with pytest.raises(LoadError, match="TensorFlow takes none"):
            load(tmp_path, providers=("cpu",), provider_options={"cpu": {"arena": "1"}})

    def test_models_on_a_gpu_stay_off_the_event_loop(
        self, tensorflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run waits for the GPU; whoever waits on the loop stops everybody. (Without one it is placed here.)"""
        built = TensorFlowZoo(tmp_path).table(tmp_path)
        here = load(built.artifact or tmp_path)
        monkeypatch.setattr(tensorflow.config, "list_physical_devices", lambda kind: [kind])
        there = load(built.artifact or tmp_path, providers=("gpu",))
        assert (here.loop_safe, there.loop_safe) == (True, False)
        here.close()
        there.close()

    def test_a_gpu_is_taken_by_its_number(self, tensorflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second GPU would never be used."""
        monkeypatch.setattr(tensorflow.config, "list_physical_devices", lambda kind: [kind, kind])
        device = tensorflow_runtime.choose_device(tensorflow, ("cuda:2", "cuda:1", "cpu"))
        assert (device.text, device.index, tensorflow_runtime.is_gpu(device)) == ("cuda:1", 1, True)


def test_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package would end in an ImportError that says nothing of extras."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    tensorflow_runtime.import_tensorflow.cache_clear()
    with pytest.raises(MissingPackage, match=r"pip install 'mlserve\[tensorflow\]'"):
        load(Path())


def test_a_first_load_leaves_stderr_clean(tmp_path: Path) -> None:
    """TensorFlow's greetings would drown the log of every start."""
    built = TensorFlowZoo(tmp_path).table(tmp_path)
    code = f"""
from pathlib import Path
import numpy as np
from mlserve.backends.tensorflow import TensorFlowBackend
from mlserve.contracts.backend import LoadOptions
model = TensorFlowBackend().load(Path({str(built.artifact)!r}), LoadOptions())
try:
    model.infer({{"x": np.array([7])}})
except Exception as error:
    print("failed as it should")
model.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=True)
    assert (done.stdout, done.stderr) == ("failed as it should\n", "")
