"""Models written in Python: any library behind three methods.

A model is a class::

    class Scale:
        signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}

        def load(self, path):               # optional: read files from the artefact (a Path, or None without one)
            self.factor = np.float32(2)

        def predict(self, inputs):          # arrays in, arrays, lists or scalars out; from several threads at once
            return {"y": inputs["x"] * self.factor}

        def close(self):                    # optional
            ...

``signature`` may be a method (called after ``load``) and may give a :class:`mlserve.types.Signature`.
``deterministic = False`` says that equal inputs may give different outputs; ``loop_safe = True`` that ``predict`` does
nothing but compute. ``predict`` may raise :class:`mlserve.errors.BadRequest` for values that the caller got wrong.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlserve.backends.faults import mismatch
from mlserve.backends.python_results import coerce_outputs
from mlserve.backends.python_source import Source, describe, find_source
from mlserve.backends.python_spec import parse_signature
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.errors import LoadError
from mlserve.types import Array, Lookups, Signature


class PythonBackend:
    """``LoadOptions.target`` names the class; no file is claimed, because only the configuration may run code."""

    name: ClassVar[str] = "python"

    def claims(self, files: Collection[str]) -> bool:
        return False

    def companions(self, file: Path) -> Sequence[str]:
        return ()

    def load(self, artifact: Path | None, options: LoadOptions) -> LoadedModel:
        source = find_source(options.target, artifact)
        try:
            instance = source.factory()
            if hasattr(instance, "load"):
                instance.load(artifact)
            declared = getattr(instance, "signature", None)
            signature = parse_signature(declared() if callable(declared) else declared)
        except LoadError:
            source.forget()
            raise
        except (Exception, SystemExit) as error:
            source.forget()
            raise LoadError(f"{options.target} does not load: {describe(error, source.file)}") from error
        if not callable(getattr(instance, "predict", None)):
            source.forget()
            raise LoadError(f"{options.target} has no method predict(self, inputs)")
        return PythonModel(instance, signature, source)


class PythonModel:
    """One instance of the author's class. See :class:`~mlserve.contracts.backend.LoadedModel`."""

    def __init__(self, instance: Any, signature: Signature, source: Source) -> None:
        self._instance = instance
        self._source = source
        self.signature = signature
        label = source.file.name if source.file else "built in"
        self.runtime = f"python {platform.python_version()} ({label} {source.digest})"
        self.deterministic = bool(getattr(instance, "deterministic", True))
        self.lookups: Mapping[str, Lookups] = {}
        self.loop_safe = bool(getattr(instance, "loop_safe", False))

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        # Checked here and not after a failure, as the others do: numpy computes on with almost anything.
        if (fault := mismatch(self.signature, inputs)) is not None:
            raise fault
        return coerce_outputs(self.signature, self._instance.predict(dict(inputs)), _rows(inputs))

    def close(self) -> None:
        try:
            if hasattr(self._instance, "close"):
                self._instance.close()
        finally:
            del self._instance
            self._source.forget()


def _rows(inputs: Mapping[str, Array]) -> int | None:
    counts = {value.shape[0] if value.ndim else None for value in inputs.values()}
    return counts.pop() if len(counts) == 1 else None
