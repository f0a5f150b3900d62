"""A file of somebody else's code, run as a module of its own: what models and transformers in Python come from."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

_numbers = count(1)


def run_file(file: Path) -> ModuleType:
    """The module that ``file`` makes, under a name that no other has: two versions of it may serve side by side.

    It stays in ``sys.modules``, where dataclasses and pickling look it up, until the caller forgets it. Blocks, and
    raises whatever the file raises, ``SystemExit`` included, or ``ImportError`` for a file that is not Python's.
    """
    name = f"mlserve_user_code_{next(_numbers)}"
    spec = spec_from_file_location(name, file)
    if spec is None:
        raise ImportError(f"{file.name} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Compiled from the text, not by the loader: its cache of bytecode takes a changed file of equal size and
        # second for the old one.
        exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except BaseException:
        forget(module)
        raise
    return module


def forget(module: ModuleType) -> None:
    """Take ``module`` out of ``sys.modules``: from now on only what was made in it holds it."""
    sys.modules.pop(module.__name__, None)
