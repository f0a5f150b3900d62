"""Read an ONNX file without its external data, and look everywhere in it that a node or a tensor may hide.

Functions here take and give ``onnx`` protobuf messages, typed ``Any``: the package ships no type information.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mlserve.backends.faults import brief
from mlserve.errors import LoadError, MissingPackage

_LARGEST_BYTES = 2 * 1024**3
"""Protobuf messages cannot be larger; what is has to keep its weights in external data."""

_RANDOM_OPS = frozenset(
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Sampling"]
)
_DROPOUT_LEARNED_TRAINING_MODE = 12
_DROPOUT_LOST_IS_TEST = 7


def read_model(file: Path) -> Any:
    """``file`` as a ``ModelProto``. Raises :class:`LoadError` if it is empty, cut short, or something else."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise MissingPackage(f"{file.name} (ONNX)", "onnx", "all") from error
    size = 0
    try:
        size = file.stat().st_size
        if size > _LARGEST_BYTES:
            raise LoadError(
                f"{file.name} has {size} bytes; an ONNX file may have 2 GiB, save its weights as external data"
            )
        model = onnx.load_model_from_string(file.read_bytes())
    except DecodeError as error:
        raise LoadError(f"{file.name} is not an ONNX model, or was cut short ({size} bytes)") from error
    except OSError as error:
        raise LoadError(f"{file.name} cannot be read: {error.strerror}") from error
    if not model.HasField("graph"):
        raise LoadError(f"{file.name} is not an ONNX model: there is no graph in its {size} bytes")
    return model


def external_files(model: Any, folder: Path) -> list[str]:
    """Names, relative to ``folder``, of the files that hold tensors of ``model``; sorted, each once.

    Raises :class:`LoadError` for a name that leads out of ``folder``, through a link too.
    """
    names = {_location(tensor) for tensor in _tensors(model) if tensor.data_location == tensor.EXTERNAL}
    return sorted({_inside(name, folder) for name in names})


def is_random(model: Any) -> bool:
    """True if a node anywhere in ``model`` draws random numbers. A seed attribute only fixes where a session begins."""
    opsets = {item.domain or "ai.onnx": item.version for item in model.opset_import}
    return any(_is_random(node, nodes, opsets.get("ai.onnx", 1)) for nodes in scopes(model) for node in nodes.node)


def _is_random(node: Any, scope: Any, opset: int) -> bool:
    if node.op_type == "Dropout" and node.domain in ("", "ai.onnx"):
        return _trains(node, scope, opset)
    return node.op_type in _RANDOM_OPS and node.domain in ("", "ai.onnx", "com.microsoft")


def _trains(dropout: Any, scope: Any, opset: int) -> bool:
    if opset < _DROPOUT_LOST_IS_TEST:
        return not any(item.name == "is_test" and item.i for item in dropout.attribute)
    if opset < _DROPOUT_LEARNED_TRAINING_MODE or len(dropout.input) < 3 or not dropout.input[2]:
        return False
    return not _is_constant_false(dropout.input[2], scope)


def _is_constant_false(name: str, scope: Any) -> bool:
    for tensor in getattr(scope, "initializer", ()):
        if tensor.name == name:
            return not (any(tensor.int32_data) or any(tensor.raw_data))
    for node in scope.node:
        if node.op_type == "Constant" and name in node.output:
            return not any(any(item.t.int32_data) or any(item.t.raw_data) for item in node.attribute)
    return False


def scopes(model: Any) -> Iterator[Any]:
    """Everything that has a list of nodes: the graph, functions, and the bodies of their loops and branches."""
    pending = [model.graph, *model.functions]
    while pending:
        scope = pending.pop()
        yield scope
        for attribute in _attributes(scope):
            pending += [attribute.g] if attribute.HasField("g") else []
            pending += attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    for scope in scopes(model):
        yield from getattr(scope, "initializer", ())
        for sparse in getattr(scope, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for attribute in _attributes(scope):
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _attributes(scope: Any) -> Iterator[Any]:
    for node in scope.node:
        yield from node.attribute
    yield from getattr(scope, "attribute_proto", ())


def _location(tensor: Any) -> str:
    for entry in tensor.external_data:
        if entry.key == "location":
            return str(entry.value)
    raise LoadError(f"tensor {tensor.name!r} is external data without a location")


def _inside(name: str, folder: Path) -> str:
    path = PurePosixPath(name)
    # A star begins onnxruntime's marker for "an address in this process's memory", which a file has no business with.
    if not path.name or path.is_absolute() or PureWindowsPath(name).anchor or ".." in path.parts or name[0] in "*\\":
        raise LoadError(f"external data {brief(name)!r} lies outside the model's folder, which is refused")
    if "\0" in name or "\\" in name:
        raise LoadError(f"external data {brief(name)!r} is not a plain relative name, which is refused")
    if not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise LoadError(f"external data {name!r} is a link that leads outside the model's folder, which is refused")
    return str(path)
