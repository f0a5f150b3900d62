"""Which backend loads an artefact: the one that the configuration names, else the one that recognises the files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

from mlserve import registry
from mlserve.contracts.backend import Backend
from mlserve.errors import LoadError


def backend_named(name: str) -> Backend:
    """The backend of that name; ``python:…`` targets name the python backend."""
    return cast("Backend", registry.resolve("backends", name.partition(":")[0])())


def backend_for(files: Collection[str]) -> Backend:
    """The backend that claims ``files``. Raises :class:`LoadError` that shows what was found and what is looked for."""
    for name in registry.names("backends"):
        backend = backend_named(name)
        if backend.claims(files):
            return backend
    shown = ", ".join(sorted(files)[:8]) + (", …" if len(files) > 8 else "")
    raise LoadError(
        f"no backend recognises what lies there ({shown}): expected a .onnx file, a folder with one, a SavedModel "
        "folder (saved_model.pb), or Backend in the configuration"
    )


def companions(file: Path, backend: str | None = None) -> Sequence[str]:
    """The other files that a single-file artefact cannot be loaded without, as its backend knows.

    ``backend`` is the one that the configuration names; without it, the one that recognises ``file``, if any does.
    """
    if backend is not None:
        return backend_named(backend).companions(file)
    for name in registry.names("backends"):
        found = backend_named(name)
        if found.claims([file.name]):
            return found.companions(file)
    return ()
