"""Small SavedModels, written graph by graph with ``tf.compat.v1``: much quicker than tracing functions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mlserve.backends.tensorflow_runtime import import_tensorflow
from mlserve.contracts.backend import LoadOptions
from mlserve.types import DType, Shape
from tests.support.zoo import Built

SHAPES: tuple[Shape, ...] = ((), (None,), (None, 1), (None, 3), (None, None, 2), (2, 3))
"""Those the contract suite asks for; all in one SavedModel, a signature each."""

Tensors = dict[str, Any]


def save_graph(
    folder: Path, build: Callable[[Any], dict[str, tuple[Tensors, Tensors]]], *, tags: Sequence[str] = ("serve",)
) -> Path:
    """Save what ``build(tensorflow)`` makes in a new graph: per signature name its inputs and outputs.

    Loading it runs the initializers of its tables.
    """
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default(), v1.Session() as session:
        signatures = {
            name: v1.saved_model.build_signature_def(
                {key: _info(v1, tensor) for key, tensor in inputs.items()},
                {key: _info(v1, tensor) for key, tensor in outputs.items()},
            )
            for name, (inputs, outputs) in build(tensorflow).items()
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            list(tags),
            signature_def_map=signatures,
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    return folder


def _info(v1: Any, tensor: Any) -> Any:
    return v1.saved_model.build_tensor_info(tensor)


def signature_name(dtype: DType, shape: Shape) -> str:
    """The name of the identity's signature."""
    return f"{dtype}_{'_'.join(map(str, shape))}"


class TensorFlowZoo:
    """See :class:`tests.support.zoo.Zoo`."""

    dtypes = frozenset(DType) - {DType.JSON}
    non_utf8 = True
    runtime_modules = ("tensorflow", "keras")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def identity(self, dtype: DType, shape: Shape) -> Built:
        return Built(self._identities, LoadOptions(signature=signature_name(dtype, shape)))

    @cached_property
    def _identities(self) -> Path:
        def build(tensorflow: Any) -> dict[str, tuple[Tensors, Tensors]]:
            signatures = {}
            for dtype in self.dtypes:
                for shape in SHAPES:
                    x = tensorflow.compat.v1.placeholder(dtype.value, shape)
                    signatures[signature_name(dtype, shape)] = ({"x": x}, {"y": tensorflow.identity(x)})
            return signatures

        return save_graph(self._folder / "identities", build)

    def scale(self, folder: Path, factor: float) -> Built:
        def build(tensorflow: Any) -> dict[str, tuple[Tensors, Tensors]]:
            x = tensorflow.compat.v1.placeholder("float32", [None])
            weights = tensorflow.compat.v1.get_variable("w", initializer=np.full(2**18, factor, np.float32))
            y = x * tensorflow.gather(weights, tensorflow.cast(x * 0, "int64"))
            return {"serving_default": ({"x": x}, {"y": y})}

        return Built(save_graph(folder / "scale", build))

    def three(self, folder: Path) -> Built:
        def build(tensorflow: Any) -> dict[str, tuple[Tensors, Tensors]]:
            x = tensorflow.compat.v1.placeholder("float32", [None, 3])
            total = tensorflow.reduce_sum(x, axis=1)
            size = tensorflow.cast(total * 0, "int64") + 3
            return {"serving_default": ({"x": x}, {"total": total, "double": x + x, "size": size})}

        return Built(save_graph(folder / "three", build))

    def table(self, folder: Path) -> Built:
        def build(tensorflow: Any) -> dict[str, tuple[Tensors, Tensors]]:
            x = tensorflow.compat.v1.placeholder("int64", [None])
            return {"serving_default": ({"x": x}, {"y": tensorflow.gather(tensorflow.constant([10.0, 20.0, 30.0]), x)})}

        return Built(save_graph(folder / "table", build))

    def broken(self, folder: Path) -> Sequence[Built]:
        whole = self.scale(folder, 1.0).artifact
        assert whole is not None
        broken = []
        for name, file, length in [
            ("empty", "saved_model.pb", 0),
            ("cut", "saved_model.pb", 700),
            ("cut-variables", "variables/variables.data-00000-of-00001", 2**19),
            ("cut-index", "variables/variables.index", 20),
            ("no-index-at-all", "variables/variables.index", 2),
        ]:
            copy = shutil.copytree(whole, folder / name)
            (copy / file).write_bytes((copy / file).read_bytes()[:length])
            broken.append(Built(copy))
        noise = folder / "noise"
        noise.mkdir()
        (noise / "saved_model.pb").write_bytes(bytes(range(256)) * 8)
        return [*broken, Built(noise), Built(folder / "not-there")]
