"""A real ``redis-server`` process on a free port and a Unix socket, for tests of what speaks to one."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.certificate import Certificate, self_signed

STARTS_WITHIN_S: Final = 10.0
MISSING: Final = (
    "redis-server is not installed, and tests of Redis need a real one: apt-get install redis-server, or brew install "
    "redis (as root, .ci/run installs it)"
)


class RedisServer:
    """Keeps nothing on disk. ``options`` are those of its command line, as in ``"--maxmemory", "2mb"``.

    ``url``, and ``unix_url`` for its socket, reach its database 0 with its password; with ``certificate`` it speaks
    TLS on its port. ``client`` is a plain client for looking at what is stored.
    """

    def __init__(
        self, folder: Path, *options: str, password: str | None = None, certificate: Certificate | None = None
    ) -> None:
        self.port = _free_port()
        self.socket = folder / "redis.sock"
        self._certificate = certificate
        self._folder = folder
        self._options = [*options]
        if password is not None:
            self._options += ["--requirepass", password]
        login = f":{quote(password, safe='')}@" if password is not None else ""
        self.unix_url = f"unix://{login}{self.socket}?db=0"
        self.url = f"redis://{login}127.0.0.1:{self.port}/0"
        if certificate is not None:
            self.url = f"rediss://{login}127.0.0.1:{self.port}/0?ssl_ca_certs={certificate.cert}"
        self.client = redis.Redis(
            unix_socket_path=str(self.socket), password=password, retry=Retry(NoBackoff(), 0), socket_timeout=10.0
        )

    def start(self) -> None:
        """Returns when it answers."""
        executable = shutil.which("redis-server")
        if executable is None:
            raise RuntimeError(MISSING)
        command = [executable, "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        command += ["--bind", "127.0.0.1", "--unixsocket", str(self.socket), *self._ports(), *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"redis-server did not start:\n{self._log}")
            time.sleep(0.005)

    def kill(self) -> None:
        """At once, as a power cut would; its port is closed then."""
        if self.process.poll() is None:
            self.process.kill()
        self._log, _ = self.process.communicate()
        self.client.connection_pool.disconnect()
        self.socket.unlink(missing_ok=True)

    def restart(self) -> None:
        """Killed and started again on the same port, empty."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """It keeps its connections, takes new ones, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers what it was asked while frozen, and all that comes."""
        self.process.send_signal(signal.SIGCONT)

    def _ports(self) -> list[str]:
        if self._certificate is None:
            return ["--port", str(self.port)]
        files = ["--tls-cert-file", str(self._certificate.cert), "--tls-key-file", str(self._certificate.key)]
        return ["--port", "0", "--tls-port", str(self.port), *files, "--tls-auth-clients", "no"]

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False


@contextmanager
def redis_server(*options: str, password: str | None = None, tls: bool = False) -> Iterator[RedisServer]:
    """One that answers. The folder is not pytest's, whose name is too long for a socket's."""
    with TemporaryDirectory(prefix="redis-") as folder:
        certificate = self_signed(Path(folder)) if tls else None
        server = RedisServer(Path(folder), *options, password=password, certificate=certificate)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
