"""Classifiers would answer other labels or numbers than ``ZipMap`` gives, to the bit, if these failed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, load_model_from_string

from mlserve.backends import onnx
from mlserve.backends.onnx import OnnxBackend
from mlserve.backends.onnx_zipmap import drop_zip_maps
from mlserve.cache.payload import encode
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.errors import LoadError
from mlserve.protocols.answer import data_json
from mlserve.types import Array, DType, Interface, Rows, Serving
from tests.support.zoo.onnx import constant, model, save, tensor

FLOATS = np.random.default_rng(3).normal(size=(40, 4)).astype(np.float32)
STRINGS = ["Adélie", "Chinstrap", "Gentoo"]
STRICT = {"classlabels_strings": ["a", "b"]}


def maps(name: str, key: int = TensorProto.STRING) -> Any:
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    return helper.make_value_info(name, helper.make_sequence_type_proto(helper.make_map_type_proto(key, value)))


def zip_map(source: str = "x", output: str = "y", **labels: Any) -> Any:
    return helper.make_node("ZipMap", [source], [output], domain="ai.onnx.ml", **labels)


def plain(shape: tuple[int | None, ...] = (None, 2), **labels: Any) -> Any:
    """The matrix that comes in, with labels."""
    key = TensorProto.STRING if "classlabels_strings" in labels else TensorProto.INT64
    return model([zip_map(**labels)], [tensor("x", DType.FLOAT32, shape)], [maps("y", key)])


def both(file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LoadedModel, LoadedModel]:
    """``file`` as it is served, and with ``ZipMap`` left to onnxruntime."""
    served = OnnxBackend().load(file, LoadOptions())
    with monkeypatch.context() as patch:
        patch.setattr(onnx, "drop_zip_maps", lambda proto: {})
        return served, OnnxBackend().load(file, LoadOptions())


def assert_alike(served: LoadedModel, whole: LoadedModel, inputs: Mapping[str, Array]) -> None:
    """Same signature; same answers as values, on the wire, and as cache entries."""
    assert served.signature == whole.signature
    assert (served.runtime, served.lookups) == (whole.runtime, whole.lookups)
    answer, expected = served.infer(inputs), whole.infer(inputs)
    for name, column in answer.items():
        assert (column.dtype, column.shape) == (expected[name].dtype, expected[name].shape)
        assert repr(column.tolist()) == repr(expected[name].tolist())
    count = len(next(iter(answer.values())))
    rows, expected_rows = Rows(answer, count), Rows(expected, count)
    interface = Interface((), served.signature.outputs, Serving.ROWS)
    assert data_json(rows, interface, batch=True) == data_json(expected_rows, interface, batch=True)
    if count:
        assert encode(rows) == encode(expected_rows)


class TestClassifiers:
    """As skl2onnx writes them."""

    @pytest.mark.parametrize("labels", [STRINGS, [10, -3, 7], ["only", "two", "two"], [False, True, True]])
    @pytest.mark.parametrize("zipmap", [True, "columns", False])
    @pytest.mark.parametrize("trees", [False, True])
    def test_answers_stay_as_they_are(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: list[Any], zipmap: Any, trees: bool
    ) -> None:
        """Trees give ties, zeros and ones; linear models give every size of float."""
        file = save(self.converted(labels, zipmap, trees), tmp_path)
        served, whole = both(file, monkeypatch)
        for count in (1, 2, 40):
            assert_alike(served, whole, {"x": FLOATS[:count]})
        served.close()
        whole.close()

    def converted(self, labels: list[Any], zipmap: Any, trees: bool) -> Any:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
        from sklearn.linear_model import LogisticRegression
        from sklearn.tree import DecisionTreeClassifier

        classifier = DecisionTreeClassifier(max_depth=2) if trees else LogisticRegression(C=1000.0)
        classifier.fit(FLOATS, np.array(labels)[np.arange(40) % 3])
        return convert_sklearn(
            classifier, "m", [("x", FloatTensorType([None, 4]))], target_opset=17, options={"zipmap": zipmap}
        )

    def test_their_zip_map_goes(self) -> None:
        """All others here would compare a model with itself."""
        proto = load_model_from_string(self.converted(STRINGS, True, False).SerializeToString())
        assert drop_zip_maps(proto) == {"output_probability": tuple(STRINGS)}
        assert "ZipMap" not in {node.op_type for node in proto.graph.node}


@pytest.mark.parametrize("labels", [STRICT, {"classlabels_strings": ["", "a\0b"]}, {"classlabels_int64s": [-7, 10]}])
def test_every_shape_that_zip_map_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: dict[str, list[Any]]
) -> None:
    """A matrix has a row for each map, a vector is one map."""
    for shape, value in (((None, 2), FLOATS[:3, :2]), ((None, 2), FLOATS[:0, :2]), ((2,), FLOATS[0, :2])):
        served, whole = both(save(plain(shape, **labels), tmp_path), monkeypatch)
        assert_alike(served, whole, {"x": np.ascontiguousarray(value)})
        served.close()
        whole.close()


def test_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is a map of one."""
    served, whole = both(save(plain((None, 1), classlabels_strings=["a"]), tmp_path), monkeypatch)
    assert_alike(served, whole, {"x": FLOATS[:, :1].copy()})
    served.close()
    whole.close()


@given(st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), min_size=1, max_size=5))
def test_every_float(pair: tuple[LoadedModel, LoadedModel], values: list[tuple[float, float]]) -> None:
    """NaN, infinities, -0.0 and the smallest numbers too."""
    assert_alike(*pair, {"x": np.array(values, np.float32)})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = save(plain(**STRICT), tmp_path_factory.mktemp("model"))
    with pytest.MonkeyPatch.context() as patch:
        served, whole = both(file, patch)
    yield served, whole
    served.close()
    whole.close()


def test_the_matrix_may_be_an_output_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both names must go on telling their own."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"], axis=1),
        zip_map("p", "y", **STRICT),
        zip_map("p", "z", classlabels_int64s=[0, 1]),
    ]
    outputs = [maps("y"), tensor("p", DType.FLOAT32, (None, 2)), maps("z", TensorProto.INT64)]
    proto = model(nodes, [tensor("x", DType.FLOAT32, (None, 2))], outputs)
    proto.graph.value_info.append(maps("y"))
    served, whole = both(save(proto, tmp_path), monkeypatch)
    assert [spec.dtype for spec in served.signature.outputs] == [DType.JSON, DType.FLOAT32, DType.JSON]
    assert_alike(served, whole, {"x": FLOATS[:, :2].copy()})
    served.close()
    whole.close()


def test_labels_that_do_not_fit_fail_the_run_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers would go to the labels of other rows."""
    free = plain((None, None), classlabels_strings=["a", "b", "c"])
    for one in both(save(free, tmp_path), monkeypatch):
        for width in (2, 4, 6):
            with pytest.raises(Exception, match=r"(?i)zip_?map"):
                one.infer({"x": np.zeros((3, width), np.float32)})
        one.close()
    served = OnnxBackend().load(save(plain((None, 1, 2), **STRICT), tmp_path), LoadOptions())
    with pytest.raises(ValueError, match=r"2 labels, for a tensor of shape \[3, 1, 2\]"):
        served.infer({"x": np.zeros((3, 1, 2), np.float32)})
    served.close()


class TestLeftAsItIs:
    """What onnxruntime does with these is not worth repeating, and a guess would change answers."""

    @pytest.mark.parametrize(
        "labels",
        [
            {"classlabels_strings": ["b", "a"]},
            {"classlabels_strings": ["a", "a"]},
            {"classlabels_int64s": [1, 0]},
            {"classlabels_strings": [b"\xff", b"\xfff"]},
        ],
    )
    def test_labels_out_of_order_or_not_text(self, labels: dict[str, list[Any]]) -> None:
        """onnxruntime sorts them, keeps one of two, or fails to read them."""
        assert drop_zip_maps(plain(**labels)) == {}

    def test_labels_of_both_kinds_or_none(self, tmp_path: Path) -> None:
        """onnxruntime refuses such a model, with its reason."""
        for labels in ({}, {"classlabels_strings": ["a", "b"], "classlabels_int64s": [0, 1]}):
            proto = plain(**labels)
            assert drop_zip_maps(proto) == {}
            with pytest.raises(LoadError, match="cannot be loaded: "):
                OnnxBackend().load(save(proto, tmp_path), LoadOptions())

    def test_maps_that_are_read(self) -> None:
        """By a node of a kind that nobody knows yet."""
        proto = plain(**STRICT)
        proto.graph.node.add(op_type="Reads", domain="local", input=["y"], output=["z"])
        assert drop_zip_maps(proto) == {}

    def test_a_zip_map_of_the_model_s_own(self) -> None:
        """It may do anything."""
        proto = plain(**STRICT)
        proto.functions.add(name="ZipMap", domain="ai.onnx.ml")
        assert drop_zip_maps(proto) == {}

    def test_a_model_of_learned_ops_alone(self) -> None:
        """What the matrix would be passed on by has no version there."""
        proto = plain(**STRICT)
        del proto.opset_import[0]
        assert drop_zip_maps(proto) == {}

    def test_one_with_weights_beside_it(self, tmp_path: Path) -> None:
        """A model in memory has no folder in which to look for them."""
        weights = constant("w", np.array([2], np.float32))
        (tmp_path / "w.bin").write_bytes(weights.raw_data)
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="w.bin")
        nodes = [helper.make_node("Mul", ["x", "w"], ["m"]), zip_map("m", **STRICT)]
        proto = model(nodes, [tensor("x", DType.FLOAT32, (None, 2))], [maps("y")], [weights])
        loaded = OnnxBackend().load(save(proto, tmp_path), LoadOptions())
        assert loaded.infer({"x": np.array([[1, 0.5]], np.float32)})["y"].tolist() == [{"a": 2.0, "b": 1.0}]
        loaded.close()


def test_a_damaged_rest_is_told_as_before(tmp_path: Path) -> None:
    """The reason that onnxruntime gives must survive, and no path of our copy."""
    proto = plain(**STRICT)
    proto.graph.node.insert(0, helper.make_node("NoSuchOp", ["x"], ["n"]))
    with pytest.raises(LoadError, match=r"^model\.onnx cannot be loaded: .*NoSuchOp"):
        OnnxBackend().load(save(proto, tmp_path), LoadOptions())
