"""The generation: one digest over everything that may change an answer.

Two deployments of one generation answer alike, wherever and whenever they were loaded, so cached answers may pass
between them; nothing that does not change answers (paths, times, hosts) enters it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mlserve.config.schema import ModelConfig
from mlserve.errors import LoadError
from mlserve.serving.parts import model_target, transformer_target
from mlserve.types import Interface, Signature


def generation_digest(
    parts: Mapping[str, str], signature: Signature, interface: Interface, config: ModelConfig, runtime: str
) -> str:
    """SHA-256 in hex. ``parts`` are the digests of the artefact and of the source files beside it, by role."""
    targets = (model_target(config), transformer_target(config))
    facts = (
        sorted(parts.items()),
        [str(spec) for spec in (*signature.inputs, *signature.outputs)],
        [repr(field) for field in interface.inputs],
        [spec.name for spec in interface.outputs or ()],
        str(interface.serving),
        config.signature,
        config.tags,
        [target and target.attribute for target in targets],
        runtime,
        config.cache_version,
    )
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass")).hexdigest()


def generation_number(digest: str) -> int:
    """The digest as mly clients carry it (``dictHash``): signed, 64 bits, neither 0 nor -2^63, which they misread."""
    number = int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)
    return 1 if number in (0, -(2**63)) else number


@cache  # like the module itself, which Python imports once: a file changed since then is not what runs
def module_digest(module: str) -> str:
    """SHA-256 over the source file of an importable module. Blocks, and may run the packages above it.

    Raises :class:`LoadError` if there is no such file.
    """
    try:
        spec = find_spec(module)
    except (Exception, SystemExit) as error:  # a package's own code runs, and may raise anything
        raise LoadError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise LoadError(f"module {module!r} is not installed, or has no source file; check PYTHONPATH")
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
