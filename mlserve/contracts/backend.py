"""The contract of a backend: a runtime that loads an artefact and runs it.

A backend is one file in ``mlserve/backends`` and one row in ``mlserve/registry.py``. Importing the file must be cheap
and must not need the runtime: the runtime is imported in :meth:`Backend.load`, so that a server without TensorFlow
serves ONNX and says the install command for the rest.

Order of calls, all but ``claims`` from a worker thread: ``claims`` (names only) -> ``companions`` (one local file) ->
``load`` -> ``infer`` any number of times, from several threads at once -> ``close`` once, after the last ``infer``.
``tests/backends/test_contract.py`` runs over every row of the registry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from mlserve.types import Array, Lookups, Signature


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a model's configuration says to its backend.

    ``tags`` and ``signature`` pick a meta graph and signature of a SavedModel. ``threads`` bounds one run's
    intra-op threads (``None``: the backend's choice). ``providers`` are devices in order of preference, such as
    ``("cuda:1", "cpu")``; the first one available serves, falling past one logs a warning, having none is a
    :class:`~mlserve.errors.LoadError` that names what is there. ``provider_options`` are settings of a device in the
    runtime's own words, by its name in ``providers``; since they may change answers, they enter
    :attr:`LoadedModel.runtime`. ``target`` is ``module:Class`` or ``file.py:Class`` for the python backend.
    """

    tags: tuple[str, ...] = ("serve",)
    signature: str = "serving_default"
    threads: int | None = None
    providers: tuple[str, ...] = ("cpu",)
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    target: str | None = None


class LoadedModel(Protocol):
    """One version in memory."""

    signature: Signature
    runtime: str
    """Name, version and device of the runtime, such as ``onnxruntime 1.31.1 (cpu)``; enters the generation."""
    deterministic: bool
    """False if equal inputs may give different outputs (random ops, or a python model that says so)."""
    lookups: Mapping[str, Lookups]
    """How each input is looked up, by name: what lets rows that the model cannot tell apart share a key. An input that
    is left out is exact, and nothing is known about it."""
    loop_safe: bool
    """True if a run does nothing but compute on the processor: no I/O, no locks, no other device to wait for. It may
    then run on the event loop, if quick."""

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once. Blocks, releases the GIL where the runtime does, may be called from several threads.

        ``inputs`` holds every input of the signature in its dtype and full shape (strings: object arrays of ``str``,
        non-UTF-8 bytes as surrogate escapes). Answers every output of the signature the same way; outputs of dtype
        ``json`` are object arrays of plain values with one element per row.

        Raises :class:`~mlserve.errors.BadRequest` for values the runtime can tell are the caller's fault;
        anything else it raises becomes an ``InferenceFailed`` above.
        """
        ...

    def close(self) -> None:
        """Free the memory now. Called once, with no ``infer`` running."""
        ...


class Backend(Protocol):
    """A runtime. Instances hold no state; making one is free."""

    name: ClassVar[str]

    def claims(self, files: Collection[str]) -> bool:
        """True if these relative paths (``/``-separated) look like an artefact of this runtime."""
        ...

    def companions(self, file: Path) -> Sequence[str]:
        """Names, relative to ``file``'s folder, of the other files that ``file`` cannot be loaded without.

        Raises :class:`~mlserve.errors.LoadError` if one lies outside that folder or ``file`` cannot be read.
        """
        ...

    def load(self, artifact: Path | None, options: LoadOptions) -> LoadedModel:
        """Load ``artifact``: the file or folder that was copied, or ``None`` for a python target without one. Blocks.

        Raises :class:`~mlserve.errors.LoadError` with a text that says what is wrong and, where it can, what to do:
        an incomplete SavedModel names the missing shard, an unknown signature or tag set lists those there are, a
        tensor type that mlserve cannot carry names tensor and type.
        """
        ...
