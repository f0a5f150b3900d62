"""TensorFlow SavedModels, by a session callable whose ops run in the calling thread.

That call costs 10 to 30 µs where a signature function costs 230 to 350 (measured; see the design record), and closing
a session gives its memory back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mlserve.backends.devices import Device
from mlserve.backends.faults import has_surrogates, load_failure, mismatch
from mlserve.backends.tensorflow_graph import is_deterministic
from mlserve.backends.tensorflow_lookups import Tables, prove_lookups
from mlserve.backends.tensorflow_runtime import choose_device, import_tensorflow, is_gpu
from mlserve.backends.tensorflow_saved_model import check_complete, pick_signature, read_meta_graph, tensor_specs
from mlserve.backends.tensorflow_tables import read_tables
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.errors import BadRequest, LoadError
from mlserve.types import Array, DType, Lookups, Signature, TensorSpec


class TensorFlowBackend:
    """A folder with ``saved_model.pb`` or ``saved_model.pbtxt``, whatever version of TensorFlow or Keras saved it."""

    name: ClassVar[str] = "tensorflow"

    def claims(self, files: Collection[str]) -> bool:
        return "saved_model.pb" in files or "saved_model.pbtxt" in files

    def companions(self, file: Path) -> Sequence[str]:
        return ()

    def load(self, artifact: Path | None, options: LoadOptions) -> LoadedModel:
        if artifact is None:
            raise LoadError("a SavedModel needs a folder: set URL to it")
        tensorflow = import_tensorflow()
        if options.provider_options:
            raise LoadError("ProviderOptions are onnxruntime's; TensorFlow takes none: leave them out")
        device = choose_device(tensorflow, options.providers)
        meta_graph = read_meta_graph(artifact, options.tags)
        wanted = pick_signature(meta_graph, options.signature)
        signature = Signature(tensor_specs("input", wanted.inputs), tensor_specs("output", wanted.outputs))
        feeds = {spec.name: wanted.inputs[spec.name].name for spec in signature.inputs}
        fetches = {spec.name: wanted.outputs[spec.name].name for spec in signature.outputs}
        check_complete(artifact, meta_graph)
        deterministic = is_deterministic(meta_graph.graph_def, fetches.values())
        session = _Session(tensorflow, device, options.threads or 1)
        try:
            session.load(artifact, options.tags)
            return TensorFlowModel(
                session,
                signature,
                feeds,
                fetches,
                f"tensorflow {tensorflow.__version__} ({device.text})",
                deterministic,
                prove_lookups(meta_graph.graph_def, signature, feeds, fetches, session.read_tables),
            )
        except Exception as error:  # TensorFlow raises its own errors, and plain ones of many kinds
            session.close()
            raise load_failure(artifact, getattr(error, "message", error)) from error


class TensorFlowModel:
    """One session and one signature. See :class:`~mlserve.contracts.backend.LoadedModel`."""

    def __init__(
        self,
        session: _Session,
        signature: Signature,
        feeds: Mapping[str, str],
        fetches: Mapping[str, str],
        runtime: str,
        deterministic: bool,
        lookups: Mapping[str, Lookups],
    ) -> None:
        """``feeds`` and ``fetches``: names of the signature to tensors of the graph. Raises TensorFlow's errors."""
        self.signature = signature
        self.runtime = runtime
        self.deterministic = deterministic
        self.lookups = lookups
        self.loop_safe = not session.on_gpu  # which is waited for
        self._session = session
        self._inputs = tuple(feeds)
        # TensorFlow refuses to fetch a tensor that it is fed; such an output is the input itself.
        origin = {tensor: name for name, tensor in feeds.items()}
        self._echoes = {name: origin[tensor] for name, tensor in fetches.items() if tensor in origin}
        self._fetched = [spec for spec in signature.outputs if spec.name not in self._echoes]
        self._call = session.make_callable(feeds.values(), [fetches[spec.name] for spec in self._fetched])
        self._internal_error = session.internal_error

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            values = self._run(inputs)
        except BadRequest:
            raise
        except Exception as error:
            if (fault := mismatch(self.signature, inputs)) is not None:
                raise fault from error
            raise
        outputs = {spec.name: _answer(spec, value) for spec, value in zip(self._fetched, values, strict=True)}
        for name, source in self._echoes.items():
            outputs[name] = inputs[source]
        return outputs

    def close(self) -> None:
        del self._call
        self._session.close()

    def _run(self, inputs: Mapping[str, Array]) -> Sequence[Any]:
        try:
            values: Sequence[Any] = self._call(*[inputs[name] for name in self._inputs])
        except self._internal_error:
            # What it says of a str with surrogates, before any op has run; looking for them first would cost all calls.
            encoded = [_encode(spec, inputs[spec.name]) for spec in self.signature.inputs]
            if all(new is inputs[name] for new, name in zip(encoded, self._inputs, strict=True)):
                raise
            return self._call(*encoded)  # type: ignore[no-any-return] # TensorFlow has no types
        return values


class _Session:
    """A ``tf.compat.v1`` session on a graph of its own: the part of TensorFlow that this backend stands on."""

    def __init__(self, tensorflow: Any, device: Device, threads: int) -> None:
        self._v1 = tensorflow.compat.v1
        self.internal_error: type[Exception] = tensorflow.errors.InternalError
        self._graph = tensorflow.Graph()
        self._gpu = device.index or 0 if is_gpu(device) else None
        config = self._v1.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=1, allow_soft_placement=True
        )
        if self._gpu is None:
            config.device_count["GPU"] = 0
        else:
            config.gpu_options.allow_growth = True
        self._session = self._v1.Session(graph=self._graph, config=config)

    @property
    def on_gpu(self) -> bool:
        return self._gpu is not None

    def load(self, folder: Path, tags: Sequence[str]) -> None:
        with self._graph.as_default(), self._graph.device(None if self._gpu is None else f"/device:GPU:{self._gpu}"):
            self._v1.saved_model.load(self._session, list(tags), str(folder))

    def read_tables(self, nodes: Collection[str]) -> Tables:
        return read_tables(self._session, nodes)

    def make_callable(self, feeds: Collection[str], fetches: Collection[str]) -> Any:
        from tensorflow.core.protobuf.config_pb2 import CallableOptions

        options = CallableOptions(feed=list(feeds), fetch=list(fetches))
        options.run_options.inter_op_thread_pool = -1  # ops run in the calling thread: 5 times less than a hand-over
        return self._session._make_callable_from_options(options)  # noqa: SLF001 # the only way to say the above

    def close(self) -> None:
        # A Graph is full of cycles; taken apart, it goes now, whether the collector runs, is slow, or was frozen.
        from tensorflow.python.framework.ops import dismantle_graph

        self._session.close()
        del self._session
        for name in self._graph.get_all_collection_keys():
            self._graph.clear_collection(name)
        dismantle_graph(self._graph)
        del self._graph


def _encode(spec: TensorSpec, value: Array) -> Array:
    """Strings as the bytes they stand for; the very same array if UTF-8 can write them all."""
    if not has_surrogates(spec, value):
        return value
    try:
        encoded = [text.encode("utf-8", "surrogateescape") for text in value.flat]
    except UnicodeEncodeError:
        raise BadRequest(
            f"input {spec.name!r} holds half a surrogate pair, which is no text", field=spec.name
        ) from None
    return _objects(encoded, value.shape)


def _answer(spec: TensorSpec, value: Any) -> Array:
    if spec.dtype is not DType.STRING:
        return np.asarray(value)
    raw = np.asarray(value, object)
    return _objects([item.decode("utf-8", "surrogateescape") for item in raw.flat], raw.shape)


def _objects(items: list[Any], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)
