"""A load that fails must leave nothing behind: no model in memory, no copy on disk, no thread, no half a version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.errors import LoadError, MissingPackage
from mlserve.serving.deployment import Deployment, State
from mlserve.serving.loader import Loader, NotByRows, choose_backend, origin_of
from mlserve.serving.parts import Role
from mlserve.sources.artifact import Artifact, FileStat, Listing
from mlserve.types import DType, Serving
from tests.support.deployments import as_lists, context, rows
from tests.support.loading import FakeAssembler, FakeBackend, install, model_config
from tests.support.models import FakeModel, Gate, signature

Fails = Callable[["Bench"], None]


class Bench:
    """A loader of fakes, the copies it was given, and what it retired."""

    def __init__(self, folder: Path, backend: FakeBackend) -> None:
        self.folder = folder
        self.backend = backend
        self.assembler = FakeAssembler()
        self.loader = Loader(self.assembler)
        self.retired: list[Deployment] = []
        self._closing: list[asyncio.Task[None]] = []

    def artifact(self, role: Role = Role.ARTIFACT, content: str = "1") -> Artifact:
        root = self.folder / role
        root.mkdir()
        path = root / f"{role}.fake"
        path.write_text(content)
        listing = Listing((FileStat("packed.zip", 7, "1"),))
        return Artifact(root, path, f"digest of {content}", listing, (path.name,))

    def load(self, config: ModelConfig | None = None, *roles: Role) -> asyncio.Task[Deployment]:
        config = config or model_config()
        artifacts = {role: self.artifact(role) for role in roles or (Role.ARTIFACT,)}
        return asyncio.create_task(self._load(config, artifacts))

    async def _load(self, config: ModelConfig, artifacts: Mapping[Role, Artifact]) -> Deployment:
        origin = await asyncio.to_thread(origin_of, config, artifacts)
        return await self.loader.load(origin, artifacts, self._retire)

    async def is_clean(self) -> bool:
        """Nothing is left of what was loaded, once what was retired is closed."""
        await asyncio.gather(*self._closing)
        assert [model.closed for model in self.backend.models] == [1] * len(self.backend.models)
        assert not any(model.closed_while_running for model in self.backend.models)
        return list(self.folder.iterdir()) == []

    def _retire(self, deployment: Deployment) -> None:
        self.retired.append(deployment)
        self._closing.append(asyncio.create_task(deployment.close(1)))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, install(FakeBackend(), monkeypatch))


async def test_a_version_that_proved_itself(bench: Bench) -> None:
    """Everything an operator is told about it, and everything it owns, comes from the load."""
    bench.assembler.warnings = ("not warmed up",)
    config = model_config(Inputs=[{"Name": "x", "DataType": "int"}], Threads=3, Tags=["a"], Signature="s")
    made = await bench.load(config)
    assert as_lists(await made.predict(rows(x=[1, 2]), context())) == {"y": [2.0, 4.0]}
    assert (made.model_id, made.state, made.interface.serving) == ("m", State.SERVING, Serving.ROWS)
    assert made.origin.digests == (("artifact", "digest of 1"),)
    assert (made.facts.backend, made.facts.runtime, made.facts.size_bytes) == ("fake", "fake 1.0 (cpu)", 7)
    assert made.facts.warnings[1:] == ("not warmed up",)
    assert "DataType int" in made.facts.warnings[0]
    options = bench.backend.options
    assert options is not None
    assert (options.threads, options.tags, options.signature, options.target) == (3, ("a",), "s", None)
    assert bench.backend.contents == ["1"]
    assert bench.backend.open_models == 1
    await made.close(1)
    assert await bench.is_clean()


async def test_the_dictionary_hash_is_the_generation(bench: Bench) -> None:
    """mly clients drop what they cached when it moves; without a dictionary there is none."""
    made = await bench.load()
    assert made.interface.dict_hash == int.from_bytes(bytes.fromhex(made.generation[:16]), "big", signed=True)
    await made.close(1)
    without = await bench.load(model_config(UseDict=False))
    assert without.interface.dict_hash is None
    await without.close(1)


def failing_load(error: BaseException) -> Fails:
    def fails(bench: Bench) -> None:
        def make() -> FakeModel:
            raise error

        bench.backend.make = make

    return fails


def failing_assembly(*errors: BaseException) -> Fails:
    return lambda bench: bench.assembler.failures.extend(errors)


def failing_choice(bench: Bench) -> None:
    """No backend of that name: cannot happen after the configuration was checked, and must be told all the same."""
    bench.backend.by_name.clear()


def failing_interface(bench: Bench) -> None:
    bench.backend.make = lambda: FakeModel(sign=signature({"x": (DType.STRING, (None,))}))


NOT_BY_ROWS = "output 'y' has shape [1] for 2 rows"


@pytest.mark.parametrize(
    ("fails", "error", "words"),
    [
        pytest.param(failing_choice, KeyError, "fake", id="choice"),
        pytest.param(failing_load(LoadError("cut short")), LoadError, "^cut short$", id="load"),
        pytest.param(failing_load(MissingPackage("m", "p", "x")), MissingPackage, "pip install", id="package"),
        pytest.param(failing_load(MemoryError("all of it")), LoadError, "^MemoryError: all of it$", id="runtime"),
        pytest.param(failing_load(SystemExit(3)), LoadError, r"sys\.exit\(3\)", id="exit"),
        pytest.param(failing_interface, LoadError, "'x' has Precision", id="interface"),
        pytest.param(failing_assembly(LoadError("no function f")), LoadError, "no function f", id="assembly"),
        pytest.param(failing_assembly(SystemExit(1)), LoadError, r"sys\.exit\(1\)", id="exit in warm-up"),
        pytest.param(failing_assembly(RuntimeError("a bug")), RuntimeError, "a bug", id="bug"),
        pytest.param(
            failing_assembly(NotByRows(NOT_BY_ROWS), LoadError("not so either")), LoadError, "not so either", id="whole"
        ),
        pytest.param(
            failing_assembly(NotByRows(NOT_BY_ROWS), NotByRows("nor whole")), LoadError, "nor whole", id="neither"
        ),
    ],
)
async def test_each_stage_that_fails_frees_all(fails: Fails, error: type[Exception], words: str, bench: Bench) -> None:
    """A model that fails every minute would otherwise fill memory and disk in a day."""
    fails(bench)
    with pytest.raises(error, match=words):
        await bench.load(model_config(Inputs=[{"Name": "x", "Precision": 1}]))
    assert bench.retired == []
    assert await bench.is_clean()


async def test_a_version_that_fails_its_self_test_is_retired(bench: Bench) -> None:
    """It is its owner's to close, who waits for runs that are still inside."""
    with pytest.raises(LoadError, match="output 'y' is"):
        await bench.load(model_config(Test={"Single": {"x": 1}, "Expect": {"y": 3}}))
    assert [made.origin.config.id for made in bench.retired] == ["m"]
    assert await bench.is_clean()


async def test_a_run_of_the_self_test_that_does_not_end(bench: Bench) -> None:
    """The failure is told at once; the model is freed when the run has ended, and not under it."""
    with Gate() as gate:
        bench.backend.make = lambda: FakeModel(gate)
        bench.loader = Loader(bench.assembler, test_timeout_s=0.05)
        with pytest.raises(LoadError, match=r"self-test Single: .*deadline"):
            await bench.load(model_config(Test={"Test": True}))
        assert bench.backend.open_models == 1
        gate.open()
        assert await bench.is_clean()


async def test_a_load_that_is_cancelled_in_the_backend(bench: Bench) -> None:
    """The thread cannot be stopped: the model that comes late is freed, and its files stay until then."""
    with Gate() as gate:

        def make() -> FakeModel:
            gate.hold()
            return FakeModel()

        bench.backend.make = make
        loading = bench.load()
        await asyncio.to_thread(gate.wait_for_arrival)
        loading.cancel()
        await asyncio.sleep(0)
        loading.cancel()
        await asyncio.sleep(0)
        assert not loading.done()
        assert len(list(bench.folder.iterdir())) == 1
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await loading
    assert len(bench.backend.models) == 1
    assert await bench.is_clean()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_load_that_is_cancelled_in_the_warm_up(fails: bool, bench: Bench) -> None:
    """Freeing the model under the first runs would end the process."""
    with Gate() as gate:

        def first_runs() -> None:
            bench.backend.models[0].infer({"x": rows(x=[1]).columns["x"]})

        bench.backend.make = lambda: FakeModel(gate)
        bench.assembler.before = first_runs
        bench.assembler.failures = [LoadError("no")] if fails else []
        loading = bench.load()
        await asyncio.to_thread(gate.wait_for_arrival)
        loading.cancel()
        await asyncio.sleep(0)
        assert not loading.done()
        assert bench.backend.open_models == 1
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await loading
    assert await bench.is_clean()


async def test_a_load_that_is_cancelled_in_the_self_test(bench: Bench) -> None:
    """A model is removed from the configuration while its self-test runs."""
    with Gate() as gate:
        bench.backend.make = lambda: FakeModel(gate)
        loading = bench.load(model_config(Test={"Test": True}))
        await asyncio.to_thread(gate.wait_for_arrival)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        assert bench.backend.open_models == 1
        gate.open()
        assert await bench.is_clean()


async def test_a_model_that_is_not_made_of_rows_is_served_whole(bench: Bench) -> None:
    """Batching it would mix the answers of callers; one line says why it is slow."""
    bench.assembler.failures = [NotByRows(NOT_BY_ROWS)]
    made = await bench.load()
    by_rows, whole = bench.assembler.versions
    assert (by_rows.interface.serving, whole.interface.serving) == (Serving.ROWS, Serving.WHOLE)
    assert made.interface is whole.interface
    assert by_rows.generation != whole.generation == made.generation
    assert made.facts.warnings == (f"{NOT_BY_ROWS}: each request is one run; say Rows: false to make it plain",)
    assert len(bench.backend.models) == 1
    await made.close(1)
    assert await bench.is_clean()


async def test_what_the_first_runs_left_of_the_interface_is_shown(bench: Bench) -> None:
    """Clients and pages would fold, and make keys of, what this version keeps apart."""
    bench.assembler.refuted = ("x",)
    deployment = await bench.load()
    lookups = deployment.interface.by_name["x"].lookups
    assert lookups is not None
    assert lookups.reason.startswith("exact: ")
    await deployment.close(1)


async def test_errors_do_not_name_the_folder_of_the_copy(bench: Bench) -> None:
    """It has another name each time: the same failure would look like news, and readers would look in vain."""
    path = bench.folder / "artifact" / "artifact.fake"
    failing_load(LoadError(f"{path}: no such class"))(bench)
    with pytest.raises(LoadError, match=r"^artifact\.fake: no such class$"):
        await bench.load()


async def test_code_of_the_users_is_loaded_from_its_copy(bench: Bench) -> None:
    """What was settled and hashed is what runs."""
    made = await bench.load(model_config(URL="python:code.py:Class", Backend=None), Role.CODE, Role.TRANSFORMER)
    options = bench.backend.options
    assert options is not None
    assert options.target == f"{bench.folder / 'code' / 'code.fake'}:Class"
    assert bench.assembler.versions[0].transformer == bench.folder / "transformer" / "transformer.fake"
    assert [role for role, _ in made.origin.digests] == ["code", "transformer"]
    await made.close(1)
    assert await bench.is_clean()


async def test_devices_get_their_options_as_text(bench: Bench) -> None:
    """Runtimes take nothing else; YAML has numbers and booleans."""
    options = {"cuda:0": {"gpu_mem_limit": 4294967296, "use_tf32": False, "search": "HEURISTIC"}}
    made = await bench.load(model_config(Providers=["cuda:0", "cpu"], ProviderOptions=options))
    given = bench.backend.options
    assert given is not None
    assert given.providers == ("cuda:0", "cpu")
    assert given.provider_options == {
        "cuda:0": {"gpu_mem_limit": "4294967296", "use_tf32": "False", "search": "HEURISTIC"}
    }
    await made.close(1)


async def test_code_in_modules_is_named(bench: Bench) -> None:
    """It is imported as Python does; a transformer's source is part of the origin, so that answers end with it."""
    config = model_config(Backend="python:package.module:Class", Transformer="json.encoder:JSONEncoder")
    made = await bench.load(config)
    options = bench.backend.options
    assert options is not None
    assert options.target == "package.module:Class"
    assert [role for role, _ in made.origin.digests] == ["artifact", "transformer"]
    await made.close(1)


def test_the_backend_is_chosen_by_what_was_copied(tmp_path: Path) -> None:
    """An archive is one file where it lies; what it holds says whose it is."""
    listing = Listing((FileStat("m.zip", 1, "1"),))
    artifact = Artifact(tmp_path, tmp_path, "d", listing, ("saved_model.pb", "variables/variables.index"))
    plain = ModelConfig(id="m", url="m.zip")
    assert choose_backend(plain, {Role.ARTIFACT: artifact}).name == "tensorflow"
    assert choose_backend(ModelConfig(id="m", url="m.zip", backend="onnx"), {Role.ARTIFACT: artifact}).name == "onnx"
    assert choose_backend(ModelConfig(id="m", url="python:a:B"), {}).name == "python"
