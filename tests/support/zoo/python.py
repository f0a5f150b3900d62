"""Small models in Python source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent, indent

from mlserve.contracts.backend import LoadOptions
from mlserve.types import DType, Shape, TensorSpec
from tests.support.zoo import Built


def write_model(folder: Path, inputs: dict[str, str], outputs: dict[str, str], body: str, name: str = "model") -> Built:
    """A file with a class ``Model`` of this signature; ``body`` holds its methods."""
    file = folder / f"{name}.py"
    signature = {"inputs": inputs, "outputs": outputs}
    methods = indent(dedent(body).strip(), "    ")
    file.write_text(
        f"import numpy as np\n\n\nclass Model:\n    signature = {signature!r}\n\n{methods}\n", encoding="utf-8"
    )
    return Built(file, LoadOptions(target=f"{name}.py:Model"))


class PythonZoo:
    """See :class:`tests.support.zoo.Zoo`."""

    dtypes = frozenset(DType) - {DType.JSON}
    non_utf8 = True
    runtime_modules = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def identity(self, dtype: DType, shape: Shape) -> Built:
        spec = str(TensorSpec("x", dtype, shape)).removeprefix("x: ")
        name = f"identity_{dtype}_{'_'.join(map(str, shape))}"
        body = "def predict(self, inputs): return {'y': inputs['x']}"
        return write_model(self._folder, {"x": spec}, {"y": spec}, body, name)

    def scale(self, folder: Path, factor: float) -> Built:
        body = f"""
        def load(self, path): self.weights = np.full(2**18, {factor}, np.float32)
        def predict(self, inputs): return {{"y": inputs["x"] * self.weights[0]}}
        """
        return write_model(folder, {"x": "float32[-1]"}, {"y": "float32[-1]"}, body)

    def three(self, folder: Path) -> Built:
        outputs = {"double": "float32[-1,3]", "size": "int64[-1]", "total": "float32[-1]"}
        body = """
        def predict(self, inputs):
            x = inputs["x"]
            return {"total": x.sum(axis=1), "size": 3, "double": (x * 2).tolist() or np.zeros((0, 3))}
        """
        return write_model(folder, {"x": "float32[-1,3]"}, outputs, body)

    def table(self, folder: Path) -> Built:
        body = "def predict(self, inputs): return {'y': np.array([10, 20, 30], np.float32)[inputs['x']]}"
        return write_model(folder, {"x": "int64[-1]"}, {"y": "float32[-1]"}, body)

    def broken(self, folder: Path) -> Sequence[Built]:
        contents = {"empty": "", "noise": "\x01\x02 ((", "cut": "class Model:\n    signature = {'inputs'"}
        for name, content in contents.items():
            (folder / f"{name}.py").write_text(content, encoding="utf-8")
        return [Built(folder / f"{name}.py", LoadOptions(target=f"{name}.py:Model")) for name in contents]
