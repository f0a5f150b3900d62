"""One serving process: start, watch, reconfigure, stop.

Start: the port listens first, so that health checks get answers; then models load. Stop (SIGTERM, Ctrl-C): ``/readyz``
turns 503, a configurable wait lets load balancers notice, the port closes, requests in flight finish up to a bound,
models drain. A second signal ends at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from mlserve.cache.datastores import Datastores
from mlserve.cache.external import External
from mlserve.config.load import LoadedConfig, resolve_url
from mlserve.config.schema import EndpointConfig
from mlserve.daemon.handlers import handlers
from mlserve.daemon.heap import freeze_heap
from mlserve.daemon.hint import example_command
from mlserve.daemon.models import open_manager, open_watch
from mlserve.daemon.reconfigure import ConfigKeeper
from mlserve.errors import SetupError
from mlserve.observe.logs import log_event
from mlserve.observe.metrics import Metrics
from mlserve.serving.manager import Manager
from mlserve.transport.access import Guard
from mlserve.transport.admin import Admin
from mlserve.transport.connection import Connection
from mlserve.transport.door import Door
from mlserve.transport.http1 import Http1Limits, Http1Server
from mlserve.transport.opening import ALPN, Opening

logger = logging.getLogger("mlserve")

STOPPED_AT_ONCE: Final = 130


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line adds to the configuration."""

    host: str | None = None
    port: int | None = None
    strict: bool = False


async def serve(loaded: LoadedConfig, options: ServeOptions) -> int:
    """Runs until a signal. Answers the exit code."""
    stop = asyncio.Event()
    _on_signals(stop)
    endpoint = loaded.config.endpoint
    for notice in loaded.notices:
        logger.warning("%s", notice)
    metrics = Metrics()
    external = External(loaded.base, metrics.watch_connection, metrics.forget_connection)
    datastores = Datastores(metrics.watch_datastore, metrics.forget_datastore, external)
    guard = Guard(loaded.config.allowed_subnet)
    async with AsyncExitStack() as stack:
        watch = await stack.enter_async_context(open_watch())
        manager = await stack.enter_async_context(
            open_manager(loaded.config, metrics, watch, [metrics.on_event, log_event], datastores)
        )
        admin = Admin(manager, metrics, loaded, guard)
        application, hits = handlers(manager, metrics, admin, guard, endpoint, lambda: datastores.aside_bytes)

        def front(connection: Connection) -> Opening:
            return Opening(connection, Door(connection, hits, application.begin))

        server = Http1Server(application, _limits(endpoint), front=front)
        tls = await asyncio.to_thread(tls_context, loaded)
        try:
            await server.start(
                options.host or endpoint.host, endpoint.port if options.port is None else options.port, tls
            )
        except OSError as error:
            raise SetupError(f"cannot listen on {options.host or endpoint.host}: {error.strerror or error}") from error
        base_url = f"{'https' if tls else 'http'}://{_authority(server.address)}"
        logger.info("listening on %s, loading %d models", base_url, len(loaded.config.models))

        def apply(changed: LoadedConfig) -> None:
            admin.configure(changed)
            guard.configure(changed.config.allowed_subnet)
            datastores.apply(changed.config.datastores)
            manager.apply(changed.config.wanted_models(), changed.base)

        keeper = ConfigKeeper(loaded, apply, watch)
        stack.push_async_callback(keeper.close)
        manager.apply(loaded.config.wanted_models(), loaded.base)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, keeper.wake)
        async with _owned(keeper.run(), "configuration"):
            code = await _until_stopped(manager, options, stop, base_url)
            await _drain(server, admin, endpoint)
    logger.info("stopped")
    return code


async def _until_stopped(manager: Manager, options: ServeOptions, stop: asyncio.Event, base_url: str) -> int:
    async with _owned(manager.first_attempts(), "first loads") as loads, _owned(stop.wait(), "stop") as stopped:
        await asyncio.wait([loads, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            failed = manager.not_serving
            if options.strict and failed:
                logger.error("--strict: %s did not load", ", ".join(failed))
                return 1
            freeze_heap()
            _say_ready(manager, base_url)
            await stop.wait()
    return 0


def _say_ready(manager: Manager, base_url: str) -> None:
    for status in manager.statuses:
        if status.deployment is not None:
            logger.info("ready; try  %s", example_command(base_url, status.deployment))
            return
    logger.warning("no model serves; %s/readyz says why", base_url)


async def _drain(server: Http1Server, admin: Admin, endpoint: EndpointConfig) -> None:
    admin.draining = True
    logger.info("stopping: %d requests in flight", server.in_flight)
    await asyncio.sleep(endpoint.shutdown_wait_ms.total_seconds())
    await server.stop_accepting()
    await server.close(endpoint.shutdown_timeout_ms.total_seconds())


def _limits(endpoint: EndpointConfig) -> Http1Limits:
    return Http1Limits(
        max_header_bytes=endpoint.max_header_bytes,
        max_body_bytes=endpoint.buffer_size,
        read_timeout_s=endpoint.read_timeout_ms.total_seconds(),
        idle_timeout_s=endpoint.idle_timeout_ms.total_seconds(),
        write_timeout_s=endpoint.write_timeout_ms.total_seconds(),
        max_connections=endpoint.max_connections,
        max_in_flight_bytes=endpoint.max_in_flight_bytes,
    )


def tls_context(loaded: LoadedConfig) -> ssl.SSLContext | None:
    """What ``TLS`` asks for; ``None`` if it is not given. Blocks. Raises :class:`SetupError` for unusable files."""
    tls = loaded.config.tls
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(ALPN)
    try:
        context.load_cert_chain(resolve_url(loaded.base, tls.cert_file), resolve_url(loaded.base, tls.key_file))
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"TLS: cannot use CertFile {tls.cert_file} with KeyFile {tls.key_file}: {error}") from error
    return context


def _authority(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _on_signals(stop: asyncio.Event) -> None:
    def on_signal() -> None:
        if stop.is_set():
            logger.warning("second signal: ending at once")
            os._exit(STOPPED_AT_ONCE)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)


@asynccontextmanager
async def _owned(coroutine: Coroutine[Any, Any, Any], name: str) -> AsyncIterator[asyncio.Task[Any]]:
    """A task for the length of a block, cancelled and awaited at its end. Its failure is logged when it happens."""
    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(_report)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the task %r ended with an error", task.get_name(), exc_info=error)
