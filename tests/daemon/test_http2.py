"""The real process over HTTP/2, asked by the clients that people have: curl, nghttp, h2load, and httpx."""

from __future__ import annotations

import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import orjson
import psutil
import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame

from tests.support.certificate import Certificate, self_signed
from tests.support.daemon import Daemon, running
from tests.support.http2 import PREFACE
from tests.support.versions import write_version

MODELS = """
Models:
  - {ID: m, URL: m.onnx}
  - {ID: cached, URL: m.onnx, DataStore: hot}
  - {ID: slow, URL: 'python:slow.py:Slow', Test: {Single: {x: 0}}}
  - {ID: wide, URL: 'python:slow.py:Wide', Test: {Single: {x: 0}}}
Datastores: [{ID: hot, Cache: {SizeMB: 8}, TimeToLiveMs: 60000}]
"""
CODE = """
import time
import numpy as np

class Slow:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}
    def predict(self, inputs):
        time.sleep(0.02)
        return {"y": inputs["x"]}

class Wide:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1,5000]"}}
    def predict(self, inputs):
        return {"y": np.repeat(inputs["x"][:, None] + np.float32(0.123456), 5000, axis=1)}
"""
EVAL = "/v1/api/model/m/eval"
CACHED = "/v1/api/model/cached/eval"


OTHERS = ["/readyz", "/healthz", "/nowhere", "/a%2fb", "/%ff", "/?x=%zz"]
SAY = ("-s", "-w", "\n%{http_version} %{http_code}")


def installed(name: str, package: str) -> str:
    found = shutil.which(name)
    assert found, f"this test runs {name}: apt-get install {package}"
    return found


def run(name: str, package: str, *arguments: str) -> str:
    done = subprocess.run([installed(name, package), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("http2")
    write_version(folder / "m.onnx", 1)
    (folder / "slow.py").write_text(CODE)
    (folder / "config.yaml").write_text(MODELS)
    return folder


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    with running(folder / "config.yaml") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def secured(folder: Path, certificate: Certificate) -> Iterator[Daemon]:
    config = folder / "secured.yaml"
    config.write_text(f"{MODELS}TLS: {{CertFile: {certificate.cert}, KeyFile: {certificate.key}}}\n")
    with Daemon(config) as daemon:
        daemon.wait_for_log("ready; try")
        yield daemon


def questions(seed: int, count: int) -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Every kind of request, good and bad, in a random order: method, target, body, headers."""
    chance = random.Random(seed)  # any order will do
    made = []
    for number in range(count):
        path = chance.choice([EVAL, CACHED, "/v1/api/model/none/eval"])
        value = chance.choice(["1.5", "-3", "much", "1e39", ""])
        body = chance.choice([b'{"x":%s}' % value.encode(), b"{", b"", b'{"x":[1,2,3]}', b'{"x":1,"z":2}'])
        headers = chance.choice(
            [
                {},
                {"X-Request-Id": f"id-{number % 7}"},
                {"Cache-Control": "no-store"},
                {"Cache-Control": "only-if-cached"},
                {"X-Request-Timeout-Ms": "-1"},
                {"Content-Encoding": "gzip"},
            ]
        )
        made.append(
            chance.choice(
                [
                    ("GET", f"{path}?x={value}", b"", headers),
                    ("HEAD", f"{path}?x={value}", b"", headers),
                    ("POST", path, body, headers),
                    ("DELETE", path, b"", headers),
                    ("OPTIONS", path, b"", headers),
                    ("TRACE", path, b"", headers),
                    (
                        "GET",
                        chance.choice(OTHERS),
                        b"",
                        headers,
                    ),
                    ("PUT", "/v1/api/models", body, headers),
                ]
            )
        )
    return made


def comparable(answer: httpx.Response) -> tuple[object, ...]:
    """All of it but what differs from answer to answer, or belongs to the carrier."""
    body = re.sub(rb'"serviceTimeMcs":\d+', b'"serviceTimeMcs":0', answer.content)
    headers = {
        name: re.sub(r"ttl=\d+", "ttl=0", value)
        for name, value in answer.headers.items()
        if name not in {"date", "connection", "content-length"}
    }
    return answer.status_code, headers, body, "content-length" in answer.headers, "connection" in answer.headers


def test_answers_are_those_of_http1(daemon: Daemon) -> None:
    """Whoever changes the protocol must find the same server."""
    with httpx.Client(base_url=daemon.url) as one, httpx.Client(base_url=daemon.url, http1=False, http2=True) as two:
        for method, target, body, headers in questions(7, 400):
            one.request(method, target, content=body or None, headers=headers)  # so that both find it cached
            over1 = one.request(method, target, content=body or None, headers=headers)
            over2 = two.request(method, target, content=body or None, headers=headers)
            assert (over1.http_version, over2.http_version) == ("HTTP/1.1", "HTTP/2")
            status, fields, said, sized, _ = comparable(over1)
            assert comparable(over2) == (status, fields, said, sized, False), (method, target, body, headers)


def test_curl_speaks_it_in_clear_text(daemon: Daemon) -> None:
    """By prior knowledge; asked to upgrade, it gets HTTP/1.1, as the pages say."""
    url = f"{daemon.url}{EVAL}?x=1"
    for option, version in (("--http2-prior-knowledge", "2"), ("--http2", "1.1"), ("--http1.1", "1.1")):
        answer, told = run("curl", "curl", *SAY, option, url).splitlines()
        assert told == f"{version} 200"
        assert orjson.loads(answer)["status"] == "ok"
    upload = ("--http2-prior-knowledge", "-d", "x=" + "y" * 10**5)
    assert run("curl", "curl", *SAY, *upload, url).endswith("2 400")


def test_curl_speaks_it_under_tls(secured: Daemon, certificate: Certificate) -> None:
    """By ALPN, without being told."""
    url = f"{secured.url}{EVAL}?x=1"
    for options, version in (([], "2"), (["--http1.1"], "1.1"), (["--no-alpn"], "1.1")):
        said = run("curl", "curl", *SAY, "--cacert", str(certificate.cert), *options, url)
        assert said.splitlines()[-1] == f"{version} 200"


async def test_httpx_speaks_it_under_tls(secured: Daemon, certificate: Certificate) -> None:
    """Another implementation, h2, checks every frame of ours; many requests share one connection."""
    trusted = ssl.create_default_context(cafile=certificate.cert)
    async with httpx.AsyncClient(base_url=secured.url, http2=True, verify=trusted) as client:
        for number in range(50):
            answer = await client.post(EVAL, json={"x": number})
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
        wide = await client.post("/v1/api/model/wide/eval", json={"x": list(range(20))})
        assert [len(row["y"]) for row in wide.json()["data"]] == [5000] * 20


def test_nghttp_reads_every_frame(daemon: Daemon) -> None:
    """The reference client, with priorities, padding and uploads."""
    said = run("nghttp", "nghttp2-client", "-v", "-n", "-m", "20", "-b", "64", f"{daemon.url}{EVAL}?x=1")
    assert said.count(":status: 200") == 20
    assert "error_code=NO_ERROR" in said
    assert "RST_STREAM" not in said


def h2load(daemon: Daemon, *arguments: str, path: str = f"{CACHED}?x=1") -> dict[str, int]:
    said = run("h2load", "nghttp2-client", *arguments, f"{daemon.url}{path}")
    line = re.search(r"requests: (.*)", said)
    assert line is not None, said
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", line[1])}


def test_h2load_loses_nothing(daemon: Daemon) -> None:
    """Thousands of streams one after the other, and many at once."""
    counted = h2load(daemon, "-n", "4000", "-c", "4", "-m", "32")
    assert (counted["succeeded"], counted["failed"]) == (4000, 0)


def test_sigterm_under_load_loses_nothing(folder: Path) -> None:
    """A roll-out: every request that was begun is answered, and the rest is left to be asked elsewhere."""
    arguments = ["-n", "100000", "-c", "4", "-m", "10"]
    with running(folder / "config.yaml") as daemon:
        url = f"{daemon.url}/v1/api/model/slow/eval?x=1"
        load = subprocess.Popen(
            [installed("h2load", "nghttp2-client"), *arguments, url], stdout=subprocess.PIPE, text=True
        )
        daemon.wait_until(lambda: served(daemon) > 100)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(20) == 0
        said, _ = load.communicate(timeout=60)
        assert "stopped" in daemon.log[-1]
    line = re.search(r"(\d+) started, (\d+) done, (\d+) succeeded", said)
    assert line is not None, said
    started, done, succeeded = map(int, line.groups())
    assert started == done == succeeded
    assert 100 < succeeded < 100_000


def served(daemon: Daemon) -> float:
    found = re.search(r'^mlserve_requests_total\{[^}]*model="slow"[^}]*\} (\S+)', metrics(daemon), re.MULTILINE)
    return float(found[1]) if found else 0.0


def metrics(daemon: Daemon) -> str:
    return httpx.get(f"{daemon.url}/metrics").text


def test_slow_readers_do_not_fill_the_memory(folder: Path) -> None:
    """Ten clients ask for 250 answers of 50 kB each and take none: of 125 MB much less may be held."""
    config = folder / "bounded.yaml"
    config.write_text(f"{MODELS}Endpoint: {{MaxInFlightBytes: 5000000, WriteTimeoutMs: 60000}}\n")
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/v1/api/model/wide/eval?x=1")]
    with running(config) as daemon, ExitStack() as stack:
        process = psutil.Process(daemon.process.pid)
        daemon.get("/v1/api/model/wide/eval?x=1")
        for number in range(100):  # so that what models and batches take is there
            daemon.post("/v1/api/model/wide/eval", {"x": [number] * 20})
        before = process.memory_info().rss
        for _ in range(10):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            encoder = Encoder()
            client.sendall(PREFACE + SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize())
            for stream_id in range(1, 501, 2):
                block = encoder.encode(fields)
                client.sendall(HeadersFrame(stream_id, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
        most = 0
        for number in range(100):
            assert daemon.get(f"{EVAL}?x={number}")[0] == 200, "the others are served meanwhile"
            most = max(most, process.memory_info().rss - before)
        assert most < 80 * 2**20
