"""From ``module:Class`` or ``file.py:Class`` to the class, and from an author's exception to their line."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from mlserve.backends.faults import brief
from mlserve.errors import LoadError
from mlserve.user_code import forget, run_file

_DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Source:
    """Where a python model's class comes from.

    ``file`` is ``None`` for a module without a source file. ``own_module`` is the module that was made for this
    version alone and leaves with it, or ``None``.
    """

    factory: Callable[[], Any]
    file: Path | None
    digest: str
    own_module: ModuleType | None

    def forget(self) -> None:
        """Remove the version's own module, so that nothing but its instances holds it."""
        if self.own_module is not None:
            forget(self.own_module)


def find_source(target: str | None, artifact: Path | None) -> Source:
    """The class that ``target`` names. Raises :class:`LoadError`, with the line in the author's file if it has one.

    A relative ``file.py`` is looked for in ``artifact`` first, the copy that was made of it; then from here.
    It is run anew, under a module name of its own, each time: a changed file is really loaded again, and two versions
    do not share state. A ``module`` is imported as Python does, once for the life of the process.
    """
    where, colon, name = (target or "").rpartition(":")
    if not (colon and where and name.isidentifier()):
        raise LoadError(f"python target {target!r}: expected module:Class or path/file.py:Class")
    if not where.endswith(".py"):
        module, file = _import(where)
        return _source(module, name, file, own_module=None)
    file = _locate(where, artifact)
    module = _run(file)
    try:
        return _source(module, name, file, own_module=module)
    except LoadError:
        forget(module)
        raise


def describe(error: BaseException, file: Path | None) -> str:
    """Type and message of ``error``, and the last line of ``file`` that it passed through."""
    text = f"{type(error).__name__}: {brief(error)}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if file is not None and frame.filename == str(file)]
    if isinstance(error, SyntaxError) and file is not None and error.filename == str(file):
        lines.append(error.lineno)
    return f"{text} ({file.name}:{lines[-1]})" if file is not None and lines else text


def _locate(where: str, artifact: Path | None) -> Path:
    wanted = Path(where)
    candidates = [wanted]
    if artifact is not None and not wanted.is_absolute():
        copies = [artifact / wanted, artifact / wanted.name] if artifact.is_dir() else [artifact]
        candidates = [path for path in copies if path.name == wanted.name] + candidates
    for path in candidates:
        if path.is_file():
            return path.resolve()
    raise LoadError(f"python target {where}: there is no such file")


def _run(file: Path) -> ModuleType:
    try:
        return run_file(file)
    except (Exception, SystemExit) as error:
        raise LoadError(f"{file.name} cannot be imported: {describe(error, file)}") from error


def _import(name: str) -> tuple[ModuleType, Path | None]:
    file = None
    try:
        spec = find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(name=name)
        file = Path(spec.origin) if spec.has_location and spec.origin else None
        return import_module(name), file
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent is not None and f"{name}.".startswith(f"{absent}."):
            instead = f"path/{name.rpartition('.')[2]}.py:Class"
            raise LoadError(
                f"there is no module {absent!r}: put its folder on PYTHONPATH, or name the file, as in {instead}"
            ) from error
        raise LoadError(f"{name} cannot be imported: {describe(error, file)}") from error


def _source(module: ModuleType, name: str, file: Path | None, *, own_module: ModuleType | None) -> Source:
    factory = getattr(module, name, None)
    if not callable(factory):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and key[0] != "_"]
        there = ", ".join(sorted(classes)) or "none"
        label = file.name if file else module.__name__
        raise LoadError(f"{label} has no class {name!r}; its classes are: {there}")
    content = file.read_bytes() if file is not None and file.is_file() else b""
    return Source(factory, file, hashlib.sha256(content).hexdigest()[:_DIGEST_LENGTH], own_module)
