"""ONNX files: types that only they have, external data, devices, and errors in a person's words."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlserve.backends.onnx import OnnxBackend
from mlserve.backends.onnx_types import maps_reader
from mlserve.contracts.backend import LoadOptions
from mlserve.errors import BadRequest, LoadError, MissingPackage
from mlserve.types import DType, TensorSpec
from tests.support.zoo.onnx import constant, model, save, tensor

FLOATS = (None,)


def load(file: Path, **options: Any) -> Any:
    return OnnxBackend().load(file, LoadOptions(**options))


def identity(dtype: DType = DType.FLOAT32, **settings: Any) -> Any:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return model(nodes, [tensor("x", dtype, FLOATS)], [tensor("y", dtype, FLOATS)], **settings)


def zip_map(**labels: Any) -> Any:
    key = TensorProto.STRING if "classlabels_strings" in labels else TensorProto.INT64
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    nodes = [helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", **labels)]
    return model(nodes, [tensor("x", DType.FLOAT32, (None, 2))], [helper.make_value_info("y", maps)])


@pytest.mark.parametrize(
    ("files", "claimed"),
    [
        (["model.onnx"], True),
        (["a.onnx"], True),
        (["a.onnx", "a.data", "README.md"], True),
        (["a.onnx", "model.onnx"], True),
        (["onnx/model.onnx", "config.json"], True),
        (["a.onnx", "b.onnx"], False),
        (["saved_model.pb"], False),
        ([], False),
    ],
)
def test_claims(files: list[str], claimed: bool) -> None:
    """The wrong backend would be given the artefact."""
    assert OnnxBackend().claims(files) is claimed


def test_a_folder_gives_its_one_model(tmp_path: Path) -> None:
    """What is claimed must also load, and an ambiguous folder must say what it holds."""
    save(identity(), tmp_path, "a.onnx")
    load(tmp_path).close()
    save(identity(), tmp_path, "b.onnx")
    with pytest.raises(LoadError, match=r"exactly one \.onnx file.*a\.onnx, b\.onnx"):
        load(tmp_path)


def test_unknown_rank_is_not_a_scalar(tmp_path: Path) -> None:
    """onnxruntime describes both alike; requests of any rank would be refused."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    unknown = model(nodes, [tensor("x", DType.FLOAT32, None)], [tensor("y", DType.FLOAT32, None)])
    loaded = load(save(unknown, tmp_path))
    assert loaded.signature.inputs == (TensorSpec("x", DType.FLOAT32, None),)
    assert loaded.infer({"x": np.ones((2, 2), np.float32)})["y"].shape == (2, 2)
    loaded.close()


def test_an_input_with_an_initializer_is_optional(tmp_path: Path) -> None:
    """Callers would have to send weights."""
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
    inputs = [tensor("x", DType.FLOAT32, FLOATS), tensor("w", DType.FLOAT32, (1,))]
    proto = model(nodes, inputs, [tensor("y", DType.FLOAT32, FLOATS)], [constant("w", np.array([2], np.float32))])
    loaded = load(save(proto, tmp_path))
    assert [spec.name for spec in loaded.signature.inputs] == ["x"]
    assert loaded.infer({"x": np.array([3], np.float32)})["y"].tolist() == [6]
    loaded.close()


@pytest.mark.parametrize("labels", [{"classlabels_strings": ["Adélie", "b"]}, {"classlabels_int64s": [0, -7]}])
def test_maps_become_plain_values(tmp_path: Path, labels: dict[str, list[Any]]) -> None:
    """scikit-learn's classifiers would give 0.25999999046325684 where the model says 0.26, or keys JSON has not."""
    loaded = load(save(zip_map(**labels), tmp_path))
    assert loaded.signature.outputs == (TensorSpec("y", DType.JSON, (None,)),)
    y = loaded.infer({"x": np.array([[0.26, 0.74], [1, 0]], np.float32)})["y"]
    first, second = (str(label) for label in next(iter(labels.values())))
    assert y.dtype == object
    assert y.tolist() == [{first: 0.26, second: 0.74}, {first: 1.0, second: 0.0}]
    assert loaded.infer({"x": np.zeros((0, 2), np.float32)})["y"].shape == (0,)
    loaded.close()


@given(st.lists(st.floats(width=32), min_size=2, max_size=2))
def test_every_float32_of_a_map_becomes_the_double_with_its_text(values: list[float]) -> None:
    """JSON would say more digits than the model does, or another number."""
    node = SimpleNamespace(type="seq(map(string,tensor(float)))")
    rows = maps_reader(node)([{"a": values[0]}, {"b": values[1], "a": values[0]}, {}]).tolist()
    assert [list(row) for row in rows] == [["a"], ["b", "a"], []]
    for found, value in ((rows[0]["a"], values[0]), (rows[1]["b"], values[1]), (rows[1]["a"], values[0])):
        assert repr(found) == repr(float(str(np.float32(value))))


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    """A model whose graph has a use for an absent input would answer without it."""
    nodes = [helper.make_node("Clip", ["x", "low"], ["y"])]
    inputs = [tensor("x", DType.FLOAT32, FLOATS), tensor("low", DType.FLOAT32, ())]
    loaded = load(save(model(nodes, inputs, [tensor("y", DType.FLOAT32, FLOATS)]), tmp_path))
    with pytest.raises(BadRequest, match="input 'low' is missing"):
        loaded.infer({"x": np.ones(1, np.float32)})
    loaded.close()


def test_bfloat16_beside_text(tmp_path: Path) -> None:
    """onnxruntime takes neither bfloat16 as numpy has it nor text in its own values."""
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT), helper.make_node("Identity", ["s"], ["t"])]
    inputs = [tensor("x", DType.BFLOAT16, FLOATS), tensor("s", DType.STRING, FLOATS)]
    outputs = [tensor("y", DType.FLOAT32, FLOATS), tensor("t", DType.STRING, FLOATS)]
    loaded = load(save(model(nodes, inputs, outputs), tmp_path))
    x = np.array([1.5, 2]).astype(DType.BFLOAT16.numpy)
    answer = loaded.infer({"x": x, "s": np.array(["a", "é"], object)})
    assert {name: value.tolist() for name, value in answer.items()} == {"y": [1.5, 2], "t": ["a", "é"]}
    loaded.close()
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["s"], ["t"])]
    outputs[0] = tensor("y", DType.BFLOAT16, FLOATS)
    with pytest.raises(LoadError, match="bfloat16 outputs beside string inputs"):
        load(save(model(nodes, inputs, outputs), tmp_path))


def test_types_nobody_can_send_are_named(tmp_path: Path) -> None:
    """A model would load and then fail each request."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None]))
    nodes = [helper.make_node("SequenceAt", ["x", "zero"], ["y"])]
    inputs, outputs = [helper.make_value_info("x", kind)], [tensor("y", DType.FLOAT32, FLOATS)]
    with pytest.raises(LoadError, match=r"input 'x' has the type seq\(tensor\(float\)\)"):
        load(save(model(nodes, inputs, outputs, [constant("zero", np.int64(0))]), tmp_path))
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["y"])]
    with pytest.raises(LoadError, match=r"output 'y' has the type seq\(tensor\(float\)\)"):
        load(save(model(nodes, [tensor("x", DType.FLOAT32, FLOATS)], [helper.make_value_info("y", kind)]), tmp_path))


def test_errors_of_onnxruntime_in_a_few_words(tmp_path: Path) -> None:
    """The reason would drown in C++ source lines, or be missing."""
    unknown = identity()
    unknown.graph.node[0].op_type = "NoSuchOp"
    with pytest.raises(LoadError, match=r"^model.onnx cannot be loaded: .*NoSuchOp"):
        load(save(unknown, tmp_path))
    with pytest.raises(LoadError, match=r"^model.onnx cannot be loaded: .*Opset 99"):
        load(save(identity(opset=99), tmp_path))
    future = identity()
    future.ir_version = 99
    with pytest.raises(LoadError, match=r"^model.onnx cannot be loaded: Unsupported model IR version: 99"):
        load(save(future, tmp_path))
    damaged = save(identity(), tmp_path)
    damaged.write_bytes(damaged.read_bytes().replace(b"\x01y", b"\x01\xff"))
    with pytest.raises(LoadError, match="bytes that are not UTF-8"):
        load(damaged)
    with pytest.raises(LoadError, match=r"gone\.onnx cannot be read: No such file"):
        load(tmp_path / "gone.onnx")


def test_an_unknown_category_is_the_callers_fault_and_stays_off_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A caller's misspelt category would page an operator and fill the log."""
    nodes = [helper.make_node("OneHotEncoder", ["x"], ["y"], domain="ai.onnx.ml", cats_strings=["a", "b"], zeros=0)]
    proto = model(nodes, [tensor("x", DType.STRING, (None, 1))], [tensor("y", DType.FLOAT32, (None, 1, 2))])
    loaded = load(save(proto, tmp_path))
    with pytest.raises(BadRequest, match="category that the model does not know"):
        loaded.infer({"x": np.array([["c"]], object)})
    loaded.close()
    assert capfd.readouterr().err == ""


class TestExternalData:
    """Weights in files beside the model."""

    def external(self, name: str, location: str) -> Any:
        weights = constant(name, np.array([2], np.float32))
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "4")):
            weights.external_data.add(key=key, value=value)
        return weights

    def multiply(self, location: str) -> Any:
        nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
        inputs, outputs = [tensor("x", DType.FLOAT32, FLOATS)], [tensor("y", DType.FLOAT32, FLOATS)]
        return model(nodes, inputs, outputs, [self.external("w", location)])

    def test_it_is_named_and_loaded(self, tmp_path: Path) -> None:
        """The copy of the model would lack its weights."""
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "w.bin").write_bytes(np.array([2], np.float32).tobytes())
        file = save(self.multiply("./sub/w.bin"), tmp_path)
        assert OnnxBackend().companions(file) == ["sub/w.bin"]
        loaded = load(file)
        assert loaded.infer({"x": np.array([4], np.float32)})["y"].tolist() == [8]
        loaded.close()
        (tmp_path / "sub" / "w.bin").write_bytes(b"1")
        with pytest.raises(LoadError, match=r"^model\.onnx cannot be loaded: ") as caught:
            load(file)
        assert str(tmp_path) not in str(caught.value)
        (tmp_path / "sub" / "w.bin").unlink()
        with pytest.raises(LoadError, match=r"'sub/w\.bin', which is missing"):
            load(file)

    def test_it_is_found_wherever_it_hides(self, tmp_path: Path) -> None:
        """Weights inside a branch, a function or an attribute would be forgotten."""
        branch = helper.make_graph(
            [helper.make_node("Identity", ["b"], ["o"])], "b", [], [tensor("o", DType.FLOAT32, FLOATS)]
        )
        branch.initializer.append(self.external("b", "branch.bin"))
        held = helper.make_node("Constant", [], ["k"])
        held.attribute.append(helper.make_attribute("value", self.external("k", "attribute.bin")))
        function = helper.make_function("local", "F", [], ["z"], [held], [helper.make_opsetid("", 17)])
        branching = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
        inputs, outputs = [tensor("c", DType.BOOL, ())], [tensor("y", DType.FLOAT32, FLOATS)]
        proto = model([branching], inputs, outputs, [self.external("w", "graph.bin")], [function])
        file = save(proto, tmp_path)
        assert OnnxBackend().companions(file) == ["attribute.bin", "branch.bin", "graph.bin"]

    @pytest.mark.parametrize(
        "location",
        ["/etc/passwd", "../w.bin", "a/../../w.bin", "", ".", "*/_ORT_MEM_ADDR_/*", "..\\w.bin", "C:\\w.bin", "a\0b"],
    )
    def test_it_may_not_lie_elsewhere(self, tmp_path: Path, location: str) -> None:
        """A model file could read any file, or any memory, of the server."""
        file = save(self.multiply(location), tmp_path)
        for act in (OnnxBackend().companions, load):
            with pytest.raises(LoadError, match="refused"):
                act(file)

    def test_it_may_not_lead_elsewhere(self, tmp_path: Path) -> None:
        """A link would do what a path may not."""
        (tmp_path / "secret").write_bytes(b"1234")
        folder = tmp_path / "model"
        folder.mkdir()
        os.symlink(tmp_path / "secret", folder / "w.bin")
        with pytest.raises(LoadError, match=r"'w\.bin' is a link"):
            OnnxBackend().companions(save(self.multiply("w.bin"), folder))

    def test_it_must_be_named(self, tmp_path: Path) -> None:
        """A tensor without a location would end in an IndexError."""
        proto = self.multiply("w.bin")
        del proto.graph.initializer[0].external_data[:]
        with pytest.raises(LoadError, match="'w' is external data without a location"):
            OnnxBackend().companions(save(proto, tmp_path))


class TestRandomness:
    """A model that draws would be cached, and give all callers one draw."""

    def deterministic(self, folder: Path, nodes: list[Any], weights: Any = (), **settings: Any) -> bool:
        inputs, outputs = [tensor("x", DType.FLOAT32, FLOATS)], [tensor("y", DType.FLOAT32, FLOATS)]
        loaded = load(save(model(nodes, inputs, outputs, weights, **settings), folder))
        loaded.close()
        return bool(loaded.deterministic)

    def test_in_the_graph(self, tmp_path: Path) -> None:
        """A seed does not help: the second run goes on where the first ended."""
        assert not self.deterministic(tmp_path, [helper.make_node("RandomNormalLike", ["x"], ["y"], seed=1.0)])

    def test_in_a_function(self, tmp_path: Path) -> None:
        """Exporters put layers into functions."""
        draw = helper.make_node("RandomUniformLike", ["a"], ["b"])
        function = helper.make_function("local", "Draw", ["a"], ["b"], [draw], [helper.make_opsetid("", 17)])
        call = helper.make_node("Draw", ["x"], ["y"], domain="local")
        assert not self.deterministic(tmp_path, [call], functions=[function])

    def test_in_a_branch(self, tmp_path: Path) -> None:
        """Control flow hides nodes in attributes."""
        draw = helper.make_node("RandomNormalLike", ["x"], ["o"])
        branch = helper.make_graph([draw], "b", [], [tensor("o", DType.FLOAT32, FLOATS)])
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
        assert not self.deterministic(tmp_path, [node], [constant("c", np.bool_(True))])

    @pytest.mark.parametrize("training", [True, False])
    def test_dropout_draws_only_in_training(self, tmp_path: Path, training: bool) -> None:
        """Most exported networks hold an idle Dropout; they would never be cached."""
        node = helper.make_node("Dropout", ["x", "ratio", "mode"], ["y"])
        weights = [constant("ratio", np.float32(0.5)), constant("mode", np.bool_(training))]
        assert self.deterministic(tmp_path, [node], weights) is not training


class TestDevices:
    """``Providers``: what is absent is said."""

    def test_the_next_one_serves(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A server meant for a GPU would run on the CPU without a word."""
        with caplog.at_level(logging.WARNING):
            loaded = load(save(identity(), tmp_path), providers=("cuda:1", "cpu"))
        assert loaded.runtime.endswith("(cpu)")
        loaded.close()
        assert "no device 'cuda:1' (it has CPUExecutionProvider); onnxruntime-gpu brings it" in caplog.text

    @pytest.mark.parametrize(
        ("providers", "message"),
        [
            (("tensorrt",), "no device 'tensorrt'.*onnxruntime-gpu"),
            (("QNNExecutionProvider",), "no device 'QNNExecutionProvider'"),
            (("cudda", "cpu"), "'cudda' is unknown; there are cpu, gpu"),
            (("cuda:x",), "'cuda:x' is not a device"),
            ((), "Providers is empty"),
        ],
    )
    def test_none_is_an_error(self, tmp_path: Path, providers: tuple[str, ...], message: str) -> None:
        """A misspelt or missing device would fall back silently."""
        with pytest.raises(LoadError, match=message):
            load(save(identity(), tmp_path), providers=providers)

    def test_one_that_does_not_start_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """onnxruntime drops a provider whose libraries are missing, and answers from the CPU."""
        import onnxruntime

        there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        made = onnxruntime.InferenceSession
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
        monkeypatch.setattr(
            onnxruntime,
            "InferenceSession",
            lambda *args, **options: made(*args, **options | {"providers": ["CPUExecutionProvider"]}),
        )
        file = save(identity(), tmp_path)
        with caplog.at_level(logging.WARNING):
            loaded = load(file, providers=("cuda", "cpu"))
        assert loaded.runtime.endswith("(cpu)")
        loaded.close()
        assert "device 'cuda' does not start" in caplog.text
        with pytest.raises(LoadError, match=r"did not start 'cuda': it needs CUDA .* pip install 'onnxruntime-gpu"):
            load(file, providers=("cuda",))

    def test_models_on_other_devices_stay_off_the_event_loop(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run waits for the GPU; whoever waits on the loop stops everybody."""
        import onnxruntime

        made = onnxruntime.InferenceSession

        class OnGpu:
            """A real session that says it runs elsewhere."""

            def __init__(self, *args: Any, providers: Any, **options: Any) -> None:
                self._made = made(*args, providers=["CPUExecutionProvider"], **options)

            def get_providers(self) -> list[str]:
                return ["CUDAExecutionProvider", "CPUExecutionProvider"]

            def __getattr__(self, name: str) -> Any:
                return getattr(self._made, name)

        file = save(identity(), tmp_path)
        here = load(file)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
        monkeypatch.setattr(onnxruntime, "InferenceSession", OnGpu)
        there = load(file, providers=("cuda",))
        assert (here.loop_safe, there.loop_safe) == (True, False)
        here.close()
        there.close()

    def test_full_names(self, tmp_path: Path) -> None:
        """onnxruntime's own names are what its documentation gives."""
        load(save(identity(), tmp_path), providers=("CPUExecutionProvider",)).close()


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package would end in an ImportError from deep inside."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackage, match="onnxruntime"):
        load(save(identity(), tmp_path))
