"""Real protocols: an http server with its moods, an S3 server, fsspec's memory."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from aiohttp import web

from mlserve.errors import MissingPackage, SourceError
from tests.support.model_source import contents, source_for

MODEL = os.urandom(300_000)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """An http server on this loop; the source asks from threads of its own."""

    def __init__(self) -> None:
        self.handler: Handler = self.plain
        self.etag = '"1"'
        self.requests: list[str] = []
        self.url = ""

    async def plain(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=MODEL, headers={"ETag": self.etag})

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        return await self.handler(request)  # type: ignore[arg-type]  # handlers use only what both kinds have


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    this = Server()
    runner = web.ServerRunner(web.Server(this.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    this.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield this
    await runner.cleanup()


async def test_http_file(server: Server, tmp_path: Path) -> None:
    """The plain journey, with the version an etag gives."""
    source = source_for(f"{server.url}/my%20model.onnx?token=abc")
    listing = await source.listing()
    assert [(file.name, file.size) for file in listing.files] == [("my model.onnx", len(MODEL))]
    assert "token=abc" not in source.url
    artifact = await source.fetch(tmp_path)
    assert contents(artifact) == {"my model.onnx": MODEL}
    assert artifact.listing == listing
    server.etag = '"2"'
    assert await source.listing() != listing
    assert source.folders() == frozenset()
    assert any("token=abc" in request for request in server.requests)
    await source.close()


async def test_http_without_head(server: Server, tmp_path: Path) -> None:
    """Presigned URLs answer GET only."""

    async def get_only(request: web.Request) -> web.StreamResponse:
        return web.Response(status=405) if request.method == "HEAD" else await server.plain(request)

    server.handler = get_only
    source = source_for(f"{server.url}/m.onnx")
    assert contents(await source.fetch(tmp_path)) == {"m.onnx": MODEL}
    await source.close()


async def test_http_without_length(server: Server, tmp_path: Path) -> None:
    """A server that makes the file up as it goes knows no length."""

    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method == "GET":
            await response.write(MODEL)
        return response

    server.handler = chunked
    source = source_for(f"{server.url}/m.onnx")
    artifact = await source.fetch(tmp_path)
    assert artifact.listing.files[0].size == -1
    assert contents(artifact) == {"m.onnx": MODEL}
    await source.close()
    small = source_for(f"{server.url}/m.onnx", max_bytes=1000)
    with pytest.raises(SourceError, match="more than 1000 bytes"):
        await small.fetch(tmp_path / "small")
    assert os.listdir(tmp_path / "small") == []
    await small.close()


async def test_http_cut_short(server: Server, tmp_path: Path) -> None:
    """A connection that breaks in the middle is half a model."""

    async def cut(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return await server.plain(request)
        response = web.StreamResponse(headers={"Content-Length": str(len(MODEL)), "ETag": server.etag})
        await response.prepare(request)
        await response.write(MODEL[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    server.handler = cut
    source = source_for(f"{server.url}/m.onnx")
    with pytest.raises(SourceError, match=r"copying failed|instead of"):
        await source.fetch(tmp_path)
    assert os.listdir(tmp_path) == []
    await source.close()


async def test_http_replaced_while_copying(server: Server, tmp_path: Path) -> None:
    """The etag after differs from the etag before: the copy may be of either."""

    async def moving(request: web.Request) -> web.StreamResponse:
        answer = await server.plain(request)
        if request.method == "GET":
            server.etag = '"2"'
        return answer

    server.handler = moving
    source = source_for(f"{server.url}/m.onnx")
    with pytest.raises(SourceError, match=r"moved while it was copied: m\.onnx"):
        await source.fetch(tmp_path)
    assert os.listdir(tmp_path) == []
    await source.close()


async def test_http_folder_with_an_index(server: Server, tmp_path: Path) -> None:
    """Apache's and nginx's indexes are enough; their links to sort orders, parents and other hosts are not files."""
    pages = {
        "/m/": '<a href="../">up</a><a href="?C=N;O=D">sort</a><a href="http://other/x">x</a>'
        '<a href="saved_model.pb">pb</a><a href="variables/">v</a><a href="/m/.hidden">h</a>',
        "/m/variables/": '<a href="../">up</a><a href="data%20file">d</a>',
    }

    async def index(request: web.Request) -> web.StreamResponse:
        if page := pages.get(request.path):
            return web.Response(text=page, content_type="text/html")
        return await server.plain(request)

    server.handler = index
    source = source_for(f"{server.url}/m/")
    assert contents(await source.fetch(tmp_path)) == {"saved_model.pb": MODEL, "variables/data file": MODEL}
    await source.close()


async def test_http_folder_without_an_index(server: Server) -> None:
    """The error says what to do."""

    async def nothing(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<h1>hello</h1>", content_type="text/html")

    server.handler = nothing
    source = source_for(f"{server.url}/m/")
    with pytest.raises(SourceError, match="no index of that folder: name a single file"):
        await source.listing()
    await source.close()


@pytest.mark.parametrize(("status", "words"), [(404, "nothing is at"), (403, "403"), (503, "503")])
async def test_http_errors_say_what_happened(server: Server, status: int, words: str) -> None:
    """fsspec calls all of them "not found"; an operator needs the difference. Credentials stay out."""

    async def fail(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    server.handler = fail
    source = source_for(server.url.replace("://", "://user:hunter2@") + "/m.onnx?sig=hunter2")
    with pytest.raises(SourceError, match=words) as caught:
        await source.listing()
    assert "hunter2" not in str(caught.value)
    await source.close()


async def test_http_server_that_hangs(server: Server) -> None:
    """The loop, the shutdown and the other models go on."""

    answered = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await answered.wait()
        return web.Response()

    server.handler = hang
    source = source_for(f"{server.url}/m.onnx", timeout_s=0.3)
    async with asyncio.timeout(5):
        with pytest.raises(SourceError, match=r"no sign of life|Timeout"):
            await source.listing()
        await source.close()
    answered.set()


async def test_http_companions(server: Server, tmp_path: Path) -> None:
    """External data beside a file on an http server; a 503 for it is not "the data is gone"."""
    source = source_for(f"{server.url}/a/m.onnx", companions=lambda file: ["./w eights"])
    artifact = await source.fetch(tmp_path)
    assert contents(artifact) == {"m.onnx": MODEL, "w eights": MODEL}
    assert [file.name for file in (await source.listing()).files] == ["m.onnx", "w eights"]

    async def partly(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503) if "eights" in request.path else await server.plain(request)

    server.handler = partly
    with pytest.raises(SourceError, match="503"):
        await source.listing()
    await source.close()


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/models", recursive=True)


@pytest.mark.parametrize("scheme", ["memory", "mem"])
async def test_memory(memory: fsspec.AbstractFileSystem, tmp_path: Path, scheme: str) -> None:
    """mly spells it mem; a rewrite of the same size must show."""
    memory.pipe({"/models/m/a": b"1", "/models/m/b/c": MODEL, "/models/m/.hidden": b""})
    source = source_for(f"{scheme}://models/m")
    listing = await source.listing()
    assert listing.newest is not None
    assert contents(await source.fetch(tmp_path)) == {"a": b"1", "b/c": MODEL}
    memory.pipe("/models/m/a", b"2")
    assert await source.listing() != listing
    await source.close()


async def test_two_readers_of_one_memory_file(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    """fsspec gives every reader the same object: two models of one URL would get each other's bytes."""
    big = os.urandom(6_000_000)
    memory.pipe("/models/m.onnx", big)
    sources = [source_for("memory://models/m.onnx") for _ in range(3)]
    artifacts = await asyncio.gather(*(source.fetch(tmp_path) for source in sources))
    assert [contents(artifact) == {"m.onnx": big} for artifact in artifacts] == [True] * 3
    assert len({artifact.digest for artifact in artifacts}) == 1
    await asyncio.gather(*(source.close() for source in sources))


@pytest.mark.parametrize(
    ("url", "package", "message"),
    [("s3://bucket/m", "s3fs", "mlserve[s3]"), ("gs://bucket/m", "gcsfs", "mlserve[gcs]")],
)
async def test_a_missing_package_is_named(
    url: str, package: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is the command to run."""
    known = sys.modules["fsspec.registry"]._registry  # type: ignore[attr-defined]  # fsspec has no public way to forget
    monkeypatch.delitem(known, url.partition("://")[0], raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    source = source_for(url)
    with pytest.raises(MissingPackage) as caught:
        await source.listing()
    assert f"pip install '{message}'" in str(caught.value)
    await source.close()


async def test_an_unknown_protocol() -> None:
    """A typing error is not a traceback."""
    source = source_for("s4://bucket/m")
    with pytest.raises(SourceError, match=r"s4://bucket/m: .*s4"):
        await source.listing()
    await source.close()


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Also wakes the thread that fsspec's own loop keeps for blocking calls, so that no test is blamed for it."""
    from moto.server import ThreadedMotoServer  # takes a second to import

    asyncio.run_coroutine_threadsafe(asyncio.to_thread(int), fsspec.asyn.get_loop()).result(10)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def test_s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The S3 protocol over a socket, found by the environment as botocore reads it."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")

    def put(key: str, body: bytes) -> None:
        client.put_object(Bucket="models", Key=key, Body=body)

    await asyncio.to_thread(client.create_bucket, Bucket="models")
    for key, body in {"m/a": b"1", "m/v/b": MODEL, "m/": b"", "mm": b"2", "one.onnx": b"3"}.items():
        await asyncio.to_thread(put, key, body)

    folder, file = source_for("s3://models/m"), source_for("s3://models/one.onnx")
    listing = await folder.listing()
    assert listing.newest is not None
    artifact = await folder.fetch(tmp_path)
    assert contents(artifact) == {"a": b"1", "v/b": MODEL}
    assert contents(await file.fetch(tmp_path)) == {"one.onnx": b"3"}
    await asyncio.to_thread(put, "m/a", b"9")
    assert await folder.listing() != listing
    missing = source_for("s3://models/none")
    with pytest.raises(SourceError, match="nothing is at"):
        await missing.listing()
    for source in (folder, file, missing):
        await source.close()
    await asyncio.to_thread(client.close)
    gc.collect()  # a session left open would complain here, as a warning that fails the test
