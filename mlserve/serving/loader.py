"""From the copied parts of a version to a deployment that has proved itself.

Called by the servable, one version at a time: choose the backend, load, read the signature, build the interface and
the generation, have the version's own ``Predict`` assembled, self-test. Whatever fails on the way frees what was loaded
and raises :class:`~mlserve.errors.SetupError`; the version before it goes on serving.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlserve.config.schema import ModelConfig
from mlserve.contracts.backend import Backend, LoadedModel, LoadOptions
from mlserve.errors import LoadError, SetupError
from mlserve.serving.artifact import Artifact
from mlserve.serving.backend_choice import backend_for, backend_named
from mlserve.serving.deployment import Deployment, Facts, Origin
from mlserve.serving.generation import generation_digest, generation_number, module_digest
from mlserve.serving.interface import build_interface, serving_mode
from mlserve.serving.parts import PythonTarget, Role
from mlserve.serving.selftest import self_test
from mlserve.types import Interface, Predict, Serving

logger = logging.getLogger(__name__)


class NotByRows(LoadError):
    """The assembler found that a model, whatever its signature says, does not answer row by row."""


@dataclass(frozen=True, slots=True)
class Version:
    """What the assembler makes a ``Predict`` from."""

    config: ModelConfig
    model: LoadedModel
    interface: Interface
    generation: str
    transformer: Path | None
    """The copied source file of a ``file.py:function`` transformer."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A version's own chain, and how to take it down: ``close`` waits for runs in flight and frees the model."""

    predict: Predict
    close: Callable[[], Awaitable[None]]
    warnings: tuple[str, ...] = ()


Assemble = Callable[[Version], Awaitable[Assembled]]
"""Raises :class:`NotByRows`, or :class:`LoadError` for a transformer that cannot be imported; the model stays open."""


class Loader:
    """Makes deployments. Holds no state of its own, so any number of loads may run at once."""

    def __init__(self, assemble: Assemble, *, test_timeout_s: float = 30.0) -> None:
        self._assemble = assemble
        self._test_timeout_s = test_timeout_s

    async def load(self, config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> Deployment:
        """One version that passed its tests. Owns ``artifacts`` from here on: their files go when the version does."""
        try:
            return await self._load(config, artifacts)
        except BaseException:
            await asyncio.to_thread(remove_copies, artifacts)
            raise

    async def _load(self, config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> Deployment:
        start = time.perf_counter()
        backend = choose_backend(config, artifacts)
        digests = part_digests(config, artifacts)
        model = await _load_model(backend, config, artifacts)
        try:
            version, assembled, warnings = await self._assemble_version(config, model, digests, artifacts)
        except BaseException:
            await asyncio.to_thread(model.close)
            raise
        try:
            deadline = time.monotonic() + self._test_timeout_s
            await self_test(config, version.interface, assembled.predict, deadline)
        except BaseException:
            await assembled.close()
            raise

        async def close() -> None:
            await assembled.close()
            await asyncio.to_thread(remove_copies, artifacts)

        return Deployment(
            model_id=config.id,
            generation=version.generation,
            origin=Origin(config, tuple(sorted(digests.items()))),
            interface=version.interface,
            predict=assembled.predict,
            facts=Facts(
                backend=backend.name,
                runtime=model.runtime,
                signature=model.signature,
                size_bytes=sum(artifact.listing.size_bytes for artifact in artifacts.values()),
                load_seconds=time.perf_counter() - start,
                loaded_at=time.time(),
                warnings=(*warnings, *assembled.warnings),
                deterministic=model.deterministic,
            ),
            close=close,
        )

    async def _assemble_version(
        self,
        config: ModelConfig,
        model: LoadedModel,
        digests: Mapping[str, str],
        artifacts: Mapping[Role, Artifact],
    ) -> tuple[Version, Assembled, Sequence[str]]:
        warnings: list[str] = []
        declared = serving_mode(model.signature, config)
        transformer = artifacts[Role.TRANSFORMER].path if Role.TRANSFORMER in artifacts else None
        for serving in dict.fromkeys((declared, Serving.WHOLE)):
            bare = build_interface(model.signature, config, serving, dict_hash=None)
            generation = generation_digest(digests, model.signature, bare, config, model.runtime)
            dict_hash = generation_number(generation) if config.use_dict else None
            interface = build_interface(model.signature, config, serving, dict_hash)
            version = Version(config, model, interface, generation, transformer)
            try:
                return version, await self._assemble(version), warnings
            except NotByRows as reason:
                warnings.append(f"{reason}: each request is one run; say Rows: false to make it plain")
        raise LoadError("; ".join(warnings))


def choose_backend(config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> Backend:
    """The configured backend, or the one that recognises the artefact's files."""
    if config.url.startswith("python:"):
        return backend_named("python")
    if config.backend:
        return backend_named(config.backend)
    return backend_for(artifacts[Role.ARTIFACT].names)


def part_digests(config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> dict[str, str]:
    """Role -> digest, the source of a transformer in an installed module included."""
    digests = {str(role): artifact.digest for role, artifact in artifacts.items()}
    if config.transformer and Role.TRANSFORMER not in artifacts:
        digests[Role.TRANSFORMER] = module_digest(PythonTarget.parse(config.transformer).place)
    return digests


def remove_copies(artifacts: Mapping[Role, Artifact]) -> None:
    """Deletes the local copies. Blocks."""
    for artifact in artifacts.values():
        shutil.rmtree(artifact.root, ignore_errors=True)


async def _load_model(backend: Backend, config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> LoadedModel:
    artifact = artifacts[Role.ARTIFACT].path if Role.ARTIFACT in artifacts else None
    options = LoadOptions(
        tags=config.tags,
        signature=config.signature,
        threads=config.threads,
        providers=config.providers,
        target=_python_target(config, artifacts),
    )
    loading = asyncio.ensure_future(asyncio.to_thread(backend.load, artifact, options))
    try:
        return await asyncio.shield(loading)
    except asyncio.CancelledError:
        # A thread cannot be stopped: let it finish, and free what it made.
        loading.add_done_callback(_close_unwanted)
        raise
    except SetupError:
        raise
    except Exception as error:
        raise LoadError(f"{type(error).__name__}: {error}") from error


def _close_unwanted(loading: asyncio.Future[LoadedModel]) -> None:
    if not loading.cancelled() and loading.exception() is None:
        loading.result().close()


def _python_target(config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> str | None:
    text = next((text for text in (config.url, config.backend) if text and text.startswith("python:")), None)
    if text is None:
        return None
    target = PythonTarget.parse(text)
    place = artifacts[Role.CODE].path if Role.CODE in artifacts else target.place
    return f"{place}:{target.attribute}"
