"""ONNX files by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from mlserve.backends.faults import brief, has_surrogates, mismatch, not_utf8
from mlserve.backends.onnx_devices import CPU
from mlserve.backends.onnx_graph import external_files, is_random, read_model
from mlserve.backends.onnx_lookups import find_lookups
from mlserve.backends.onnx_session import open_session
from mlserve.backends.onnx_types import (
    input_spec,
    maps_reader,
    maps_spec,
    output_spec,
    unwrap,
    wrap_bfloat16,
)
from mlserve.backends.onnx_zipmap import Labels, drop_zip_maps, labelled
from mlserve.backends.quiet import quiet_import
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.errors import BadRequest, LoadError, MissingPackage
from mlserve.types import Array, DType, Lookups, Signature

_UNKNOWN_CATEGORY = "Unknown Category and zeros = 0"


class OnnxBackend:
    """``*.onnx``: one file, or a folder with one of them or with a ``model.onnx``."""

    name: ClassVar[str] = "onnx"

    def claims(self, files: Collection[str]) -> bool:
        return _model_file(files) is not None

    def companions(self, file: Path) -> Sequence[str]:
        return external_files(read_model(file), file.parent)

    def load(self, artifact: Path | None, options: LoadOptions) -> LoadedModel:
        if artifact is None:
            raise LoadError("an ONNX model needs a file: set URL to it")
        # Some builds report to their makers, and leave a file in the temporary folder; a server must not by itself.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        try:
            runtime = quiet_import("onnxruntime")
        except ModuleNotFoundError as error:
            raise MissingPackage(f"{artifact.name} (ONNX)", "onnxruntime", "all") from error
        file = _find(artifact)
        model = read_model(file)
        beside = external_files(model, file.parent)
        for name in beside:
            if not (file.parent / name).is_file():
                raise LoadError(f"{file.name} keeps weights in {name!r}, which is missing beside it")
        infos = {info.name: info for info in (*model.graph.input, *model.graph.output)}
        deterministic = not is_random(model)
        lookups = find_lookups(model)
        # A session finds external data by the path of the model's file, so those are loaded as they are.
        labels = {} if beside else drop_zip_maps(model)
        changed = model.SerializeToString() if labels else None
        del model  # its weights would stay in memory twice while the session is made
        session, device = open_session(runtime, file, options, changed)
        try:
            signature = Signature(
                tuple(input_spec(node, infos.get(node.name)) for node in session.get_inputs()),
                tuple(
                    maps_spec(node.name) if node.name in labels else output_spec(node, infos.get(node.name))
                    for node in session.get_outputs()
                ),
            )
        except UnicodeDecodeError as error:
            raise LoadError(f"{file.name} names an input or output in bytes that are not UTF-8") from error
        words = f"onnxruntime {runtime.__version__} ({device})"
        return OnnxModel(session, signature, words, deterministic, lookups, labels)


class OnnxModel:
    """One session. See :class:`~mlserve.contracts.backend.LoadedModel`."""

    def __init__(
        self,
        session: Any,
        signature: Signature,
        runtime: str,
        deterministic: bool,
        lookups: Mapping[str, Lookups],
        labels: Mapping[str, Labels],
    ) -> None:
        """``labels`` are those of outputs that the session gives as matrices and callers get as maps."""
        self._session = session
        # What the session's own run() ends in, after it has read every input's name and type from C++ again: a fifth
        # of a small model's time. It also checks that none is missing, which infer() does.
        self._call = getattr(session, "_sess", session).run
        self.signature = signature
        self.runtime = runtime
        self.deterministic = deterministic
        self.lookups = lookups
        self.loop_safe = session.get_providers()[0] == CPU  # other devices are waited for
        self._inputs = frozenset(spec.name for spec in signature.inputs)
        self._outputs = [spec.name for spec in signature.outputs]
        json = {spec.name for spec in signature.outputs if spec.dtype is DType.JSON}
        self._maps: dict[str, Callable[[Any], Array]] = {
            node.name: partial(labelled, labels=labels[node.name]) if node.name in labels else maps_reader(node)
            for node in session.get_outputs()
            if node.name in json
        }
        self._bfloat16_inputs = [spec.name for spec in signature.inputs if spec.dtype is DType.BFLOAT16]
        self._wrapped = any(spec.dtype is DType.BFLOAT16 for spec in signature.outputs)
        if self._wrapped and (self._maps or any(spec.dtype is DType.STRING for spec in signature.inputs)):
            raise LoadError(
                "bfloat16 outputs beside string inputs or sequences of maps cannot pass through onnxruntime's "
                "Python interface; cast them to float in the model"
            )

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if inputs.keys() != self._inputs and (fault := mismatch(self.signature, inputs)) is not None:
            raise fault
        try:
            values = self._run(inputs)
        except Exception as error:
            if (fault := self._blame(inputs, error)) is not None:
                raise fault from error
            raise
        outputs = dict(zip(self._outputs, values, strict=True))
        for name, rows_of in self._maps.items():
            outputs[name] = rows_of(outputs[name])
        return outputs

    def close(self) -> None:
        del self._call, self._session

    def _run(self, inputs: Mapping[str, Array]) -> list[Any]:
        if self._wrapped:
            return self._run_wrapped(inputs)
        if self._bfloat16_inputs:
            inputs = {**inputs, **{name: wrap_bfloat16(inputs[name]) for name in self._bfloat16_inputs}}
        values: list[Any] = self._call(self._outputs, inputs, None)
        return values

    def _run_wrapped(self, inputs: Mapping[str, Array]) -> list[Any]:
        from onnxruntime import OrtValue

        feeds = {
            name: wrap_bfloat16(array) if name in self._bfloat16_inputs else OrtValue.ortvalue_from_numpy(array)
            for name, array in inputs.items()
        }
        values = self._session.run_with_ort_values(self._outputs, feeds)
        return [unwrap(value, spec.dtype) for value, spec in zip(values, self.signature.outputs, strict=True)]

    def _blame(self, inputs: Mapping[str, Array], error: Exception) -> BadRequest | None:
        if (fault := mismatch(self.signature, inputs)) is not None:
            return fault
        if isinstance(error, UnicodeEncodeError):
            culprits = (spec for spec in self.signature.inputs if has_surrogates(spec, inputs[spec.name]))
            return next((not_utf8(spec) for spec in culprits), None)
        if _UNKNOWN_CATEGORY in str(error):
            return BadRequest("an input holds a category that the model does not know, and it refuses those")
        return None


def _model_file(files: Collection[str]) -> str | None:
    """The one model among ``files``; those in the folder itself come before those further down."""
    found = [name for name in files if name.endswith(".onnx")]
    found = [name for name in found if "/" not in name] or found
    if len(found) == 1:
        return found[0]
    return "model.onnx" if "model.onnx" in found else None


def _find(artifact: Path) -> Path:
    if not artifact.is_dir():
        return artifact
    files = sorted(path.relative_to(artifact).as_posix() for path in artifact.rglob("*.onnx") if path.is_file())
    name = _model_file(files)
    if name is None:
        there = f"these: {brief(', '.join(files))}" if files else "none"
        raise LoadError(f"{artifact.name} needs exactly one .onnx file, or one named model.onnx; there are {there}")
    return artifact / name
