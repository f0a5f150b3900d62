"""From the copied parts of a version to a deployment that has proved itself.

Called by the servable, one version at a time: choose the backend, load, read the signature, build the interface and
the generation, have the version's own ``Predict`` assembled, self-test. Whatever fails on the way frees what was loaded
and raises :class:`~mlserve.errors.SetupError`; the version before it goes on serving.

Most of this happens in threads, which cannot be stopped, and to free a model under a run would end the process. So a
load that is cancelled ends when its threads have, and a version that fails its self-test is handed to its owner, who
closes it in its own time.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlserve.config.schema import ModelConfig
from mlserve.contracts.backend import Backend, LoadedModel, LoadOptions
from mlserve.contracts.batching import BatchState
from mlserve.contracts.cache_view import CacheView
from mlserve.errors import LoadError, SetupError
from mlserve.serving.backend_choice import backend_for, backend_named
from mlserve.serving.deployment import Deployment, Facts, Origin
from mlserve.serving.generation import generation_digest, generation_number, module_digest
from mlserve.serving.interface import build_interface, serving_mode, settings_without_effect
from mlserve.serving.memory import give_back
from mlserve.serving.parts import Role, model_target, transformer_target
from mlserve.serving.selftest import self_test
from mlserve.sources.artifact import Artifact
from mlserve.types import Interface, Predict, Serving


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
    """A version's own chain, and how to take it down: ``close`` waits for runs in flight and frees the model.

    ``batching`` tells how its batcher is; ``None`` where rows are not batched. ``interface`` is what the first runs
    left of the version's; ``None`` if they changed nothing.
    """

    predict: Predict
    close: Callable[[], Awaitable[None]]
    cache: CacheView
    warnings: tuple[str, ...] = ()
    batching: Callable[[], BatchState] | None = None
    interface: Interface | None = None


Assemble = Callable[[Version], Coroutine[Any, Any, Assembled]]
"""Raises :class:`NotByRows`, or :class:`LoadError` for a transformer that cannot be imported; the model stays open."""

Retire = Callable[[Deployment], object]
"""Takes a deployment that nobody is to use, closes it in the background, and returns at once."""


class Loader:
    """Makes deployments. Holds no state of its own, so any number of loads may run at once."""

    def __init__(self, assemble: Assemble, *, test_timeout_s: float = 30.0) -> None:
        self._assemble = assemble
        self._test_timeout_s = test_timeout_s

    async def load(self, origin: Origin, artifacts: Mapping[Role, Artifact], retire: Retire) -> Deployment:
        """One version that passed its tests.

        Owns ``artifacts`` from here on: their files go when the version does. ``retire`` gets a version that was
        made and is not wanted: it failed its self-test, or the caller was cancelled meanwhile.
        """
        deployment = await _to_the_end(self._make(origin, artifacts), retire)
        try:
            deadline = time.monotonic() + self._test_timeout_s
            await self_test(origin.config, deployment.interface, deployment.predict, deadline)
        except BaseException:
            retire(deployment)
            raise
        return deployment

    async def _make(self, origin: Origin, artifacts: Mapping[Role, Artifact]) -> Deployment:
        start = time.perf_counter()
        try:
            backend = await asyncio.to_thread(choose_backend, origin.config, artifacts)  # imports its module
            model = await _load_model(backend, origin.config, artifacts)
            try:
                version, assembled, warnings = await self._assemble_version(origin, model, artifacts)
            except BaseException:
                await asyncio.to_thread(model.close)
                raise
        except BaseException as error:
            await asyncio.to_thread(remove_copies, artifacts)
            if type(error) in (LoadError, SystemExit):
                raise _presentable(error, artifacts) from error
            raise

        async def close() -> None:
            try:
                await assembled.close()
            finally:
                await asyncio.to_thread(remove_copies, artifacts)
                await asyncio.to_thread(give_back)

        return Deployment(
            model_id=origin.config.id,
            generation=version.generation,
            origin=origin,
            interface=version.interface,
            predict=assembled.predict,
            cache=assembled.cache,
            batching=assembled.batching,
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
        self, origin: Origin, model: LoadedModel, artifacts: Mapping[Role, Artifact]
    ) -> tuple[Version, Assembled, Sequence[str]]:
        config, signature = origin.config, model.signature
        warnings = list(settings_without_effect(signature, config))
        transformer = artifacts[Role.TRANSFORMER].path if Role.TRANSFORMER in artifacts else None
        for serving in dict.fromkeys((serving_mode(signature, config), Serving.WHOLE)):
            interface = build_interface(signature, config, serving, model.lookups, dict_hash=None)
            generation = generation_digest(dict(origin.digests), signature, interface, config, model.runtime)
            if config.use_dict:
                interface = replace(interface, dict_hash=generation_number(generation))
            version = Version(config, model, interface, generation, transformer)
            try:
                assembled = await self._assemble(version)
                return replace(version, interface=assembled.interface or interface), assembled, warnings
            except NotByRows as reason:
                warnings.append(f"{reason}: each request is one run; say Rows: false to make it plain")
        raise LoadError("; ".join(warnings))


def choose_backend(config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> Backend:
    """The configured backend, or the one that recognises the artefact's files. Blocks: it imports the backend."""
    if config.url.startswith("python:"):
        return backend_named("python")
    if config.backend:
        return backend_named(config.backend)
    return backend_for(artifacts[Role.ARTIFACT].names)


def origin_of(config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> Origin:
    """What a version of these parts would be made of, a transformer in an installed module included. Blocks."""
    digests = {str(role): artifact.digest for role, artifact in artifacts.items()}
    target = transformer_target(config)
    if target is not None and not target.is_file:
        digests[Role.TRANSFORMER] = module_digest(target.place)
    return Origin(config, tuple(sorted(digests.items())))


def remove_copies(artifacts: Mapping[Role, Artifact]) -> None:
    """Deletes the local copies. Blocks."""
    for artifact in artifacts.values():
        shutil.rmtree(artifact.root, ignore_errors=True)


async def _to_the_end(making: Coroutine[Any, Any, Deployment], retire: Retire) -> Deployment:
    """What ``making`` makes. A caller that is cancelled gets away only when it has ended, and leaves nothing."""
    task = asyncio.create_task(making)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if task.exception() is None:
        retire(task.result())
    raise cancelled


async def _load_model(backend: Backend, config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> LoadedModel:
    options = LoadOptions(
        tags=config.tags,
        signature=config.signature,
        threads=config.threads,
        providers=config.providers,
        provider_options=config.device_options,
        target=_python_target(config, artifacts),
    )
    path = artifacts[Role.ARTIFACT].path if Role.ARTIFACT in artifacts else None
    try:
        return await asyncio.to_thread(backend.load, path, options)
    except SetupError:
        raise
    except Exception as error:
        raise LoadError(f"{type(error).__name__}: {error}") from error


def _python_target(config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> str | None:
    target = model_target(config)
    if target is None:
        return None
    place = artifacts[Role.CODE].path if Role.CODE in artifacts else target.place
    return f"{place}:{target.attribute}"


def _presentable(error: BaseException, artifacts: Mapping[Role, Artifact]) -> LoadError:
    """``error`` without the folders of the copies, which mean nothing to readers and have another name each time."""
    # User code: sys.exit() in a model must not end the server.
    text = f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else str(error)
    for artifact in artifacts.values():
        text = text.replace(f"{artifact.path.parent}/", "")
    return LoadError(text)
