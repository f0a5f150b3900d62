"""What a SavedModel's files say, read before TensorFlow loads them: TensorFlow's own answers to a folder that is half
there, to another tag set or another signature are long, late, or a model that fails at its first run.

Functions here take and give TensorFlow's protobuf messages, typed ``Any``. TensorFlow is imported by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlserve.backends.faults import brief
from mlserve.errors import LoadError
from mlserve.types import DType, TensorSpec

_VARIABLE_OPS = frozenset(["AutoReloadVariable", "VarHandleOp", "Variable", "VariableV2"])
_NAMES = {"half": DType.FLOAT16, "float": DType.FLOAT32, "double": DType.FLOAT64}


def read_meta_graph(folder: Path, tags: Iterable[str]) -> Any:
    """The ``MetaGraphDef`` tagged exactly ``tags``. Raises :class:`LoadError`, which lists those there are."""
    wanted = set(tags)
    graphs = _read(folder).meta_graphs
    for graph in graphs:
        if set(graph.meta_info_def.tags) == wanted:
            return graph
    there = ", ".join(_tag_set(graph.meta_info_def.tags) for graph in graphs) or "none"
    raise LoadError(f"no meta graph is tagged {_tag_set(wanted)}; there are: {there}. Set Tags to one of them")


def pick_signature(meta_graph: Any, name: str) -> Any:
    """The ``SignatureDef`` called ``name``. Raises :class:`LoadError`, which lists those there are."""
    signatures = meta_graph.signature_def
    if name in signatures:
        return signatures[name]
    there = ", ".join(sorted(key for key in signatures if not key.startswith("__"))) or "none"
    raise LoadError(f"there is no signature {name!r}; there are: {there}. Set Signature to one of them")


def tensor_specs(role: str, infos: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """``infos`` (signature key to ``TensorInfo``), sorted by key. Raises :class:`LoadError` for an alien type."""
    return tuple(_spec(role, name, infos[name]) for name in sorted(infos))


def check_complete(folder: Path, meta_graph: Any) -> None:
    """Raises :class:`LoadError` that names the missing file, if variables are needed and not all there."""
    variables = folder / "variables"
    index = variables / "variables.index"
    if not index.is_file():
        if any(node.op in _VARIABLE_OPS for node in meta_graph.graph_def.node):
            raise LoadError("the SavedModel is incomplete: variables/variables.index is missing")
        return
    count = _shard_count(index)
    names = (f"variables.data-{number:05d}-of-{count:05d}" for number in range(count))
    missing = [name for name in names if not (variables / name).is_file()]
    if missing:
        raise LoadError(
            f"the SavedModel is incomplete: variables/{missing[0]} is missing ({len(missing)} of {count} shards)"
        )


def _read(folder: Path) -> Any:
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    binary, text = folder / "saved_model.pb", folder / "saved_model.pbtxt"
    file = binary if binary.is_file() else text
    try:
        if file is binary:
            model = SavedModel.FromString(binary.read_bytes())
        else:
            model = text_format.Parse(text.read_text(encoding="utf-8"), SavedModel())
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise LoadError(f"{file.name} is not a SavedModel, or was cut short ({file.stat().st_size} bytes)") from error
    except FileNotFoundError as error:
        raise LoadError(
            f"{folder.name} is no SavedModel: there is neither saved_model.pb nor saved_model.pbtxt"
        ) from error
    except NotADirectoryError as error:
        raise LoadError(f"{folder.name} is a file; a SavedModel is a folder with saved_model.pb in it") from error
    except OSError as error:
        raise LoadError(f"{file.name} cannot be read: {error.strerror}") from error
    if not model.meta_graphs:
        raise LoadError(f"{file.name} holds no meta graph ({file.stat().st_size} bytes)")
    return model


def _tag_set(tags: Iterable[str]) -> str:
    return "{" + ", ".join(sorted(tags)) + "}"


def _spec(role: str, name: str, info: Any) -> TensorSpec:
    from tensorflow import as_dtype

    if info.WhichOneof("encoding") != "name":
        kind = "a sparse tensor" if info.WhichOneof("encoding") == "coo_sparse" else "a composite tensor"
        raise LoadError(f"{role} {name!r} is {kind}, which mlserve cannot carry")
    dtype_name = as_dtype(info.dtype).name
    try:
        dtype = _NAMES.get(dtype_name) or DType(dtype_name)
    except ValueError:
        raise LoadError(f"{role} {name!r} has the type {brief(dtype_name)}, which mlserve cannot carry") from None
    shape = info.tensor_shape
    dims = None if shape.unknown_rank else tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)
    return TensorSpec(name, dtype, dims)


def _shard_count(index: Path) -> int:
    """The header is the first entry of the table, under the empty key: see tensor_bundle.proto and LevelDB's format."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleHeaderProto

    with index.open("rb") as file:
        start = file.read(256)
    if len(start) < 3 or start[:2] != b"\0\0" or len(start) < 3 + start[2] or start[2] > 127:
        raise LoadError(f"variables/variables.index is not an index of variables ({index.stat().st_size} bytes)")
    try:
        return int(BundleHeaderProto.FromString(start[3 : 3 + start[2]]).num_shards)
    except DecodeError as error:
        raise LoadError("variables/variables.index is not an index of variables") from error
