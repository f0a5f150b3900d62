"""What we ship installs anywhere: wheel, lock files, the set-up of a fresh machine, and the container."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mlserve

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["serve", "all", "dev"]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``command`` in the repository's root, its output as text."""
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        yield wheel


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


class TestWheel:
    """``pip install .`` gives a user the whole package and nothing of its workshop."""

    def test_holds_every_module_and_the_type_marker(self, wheel: zipfile.ZipFile) -> None:
        modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mlserve").rglob("*.py")}
        assert modules | {"mlserve/py.typed"} <= set(wheel.namelist())

    def test_holds_the_files_of_the_page(self, wheel: zipfile.ZipFile) -> None:
        page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mlserve/transport/page/static").iterdir()}
        assert page
        assert page <= set(wheel.namelist())

    def test_holds_nothing_but_the_package(self, wheel: zipfile.ZipFile) -> None:
        tops = {name.split("/")[0] for name in wheel.namelist()}
        assert tops == {"mlserve", f"mlserve-{mlserve.__version__}.dist-info"}

    def test_carries_the_licence(self, wheel: zipfile.ZipFile) -> None:
        (name,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
        assert "Apache License" in wheel.read(name).decode()

    def test_offers_the_extras_that_error_messages_name(self, metadata: Message) -> None:
        assert set(metadata.get_all("Provides-Extra", [])) == {"tensorflow", "redis", "aerospike", "s3", "gcs", "all"}

    def test_all_means_all(self, metadata: Message) -> None:
        """``mlserve[all]`` would otherwise lack what somebody added to one extra only."""
        extras = PYPROJECT["project"]["optional-dependencies"]
        (everything,) = (Requirement(text) for text in extras["all"])
        assert everything.extras == set(extras) - {"all"}

    def test_onnx_is_in_the_base_and_tensorflow_is_not(self, metadata: Message) -> None:
        base = {Requirement(text).name for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text}
        assert "onnxruntime" in base
        assert not {name for name in base if name.startswith("tensorflow")}

    def test_installed_alone_it_runs(self, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
        """The command in the wheel starts the wheel's own code, not the tree's."""
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", tmp_path]
        installed = run(*pip, str(wheel.filename))
        assert installed.returncode == 0, installed.stderr
        environment = {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
        where = run(sys.executable, "-c", "import mlserve; print(mlserve.__file__)", **environment)
        assert Path(where.stdout.strip()).is_relative_to(tmp_path)
        answer = run(tmp_path / "bin" / "mlserve", "--version", **environment)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert mlserve.__version__ in answer.stdout.split()


def locked(name: str) -> dict[str, str]:
    """Package to pinned version in one lock file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))


def declared(requirements: list[str | dict[str, str]]) -> Iterator[str]:
    """Canonical package names in a list of ``pyproject.toml``, included groups and ourselves aside."""
    for requirement in requirements:
        if isinstance(requirement, str) and (name := canonicalize_name(Requirement(requirement).name)) != "mlserve":
            yield name


class TestLocks:
    """Two people who set up mlserve get the same packages, from whichever index theirs is."""

    @pytest.mark.parametrize("name", LOCKS)
    def test_every_line_is_a_pin_a_marker_or_a_hash(self, name: str) -> None:
        """No index, URL, link or path: those are the business of the machine that installs."""
        pin = re.compile(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[a-z0-9.]+( ; [^/@]+)? \\")
        digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        assert [line for line in lines if not (line[0] == "#" or pin.fullmatch(line) or digest.fullmatch(line))] == []

    @pytest.mark.parametrize("name", LOCKS)
    def test_the_build_backend_is_locked_too(self, name: str) -> None:
        """The project itself is installed without build isolation, which would fetch an unlocked one."""
        assert set(declared(PYPROJECT["dependency-groups"]["build"])) <= locked(name).keys()
        assert set(declared(PYPROJECT["build-system"]["requires"])) <= locked(name).keys()

    def test_every_dependency_is_locked(self) -> None:
        """Somebody added to ``pyproject.toml`` and forgot ``make lock``."""
        project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
        base, extras = set(declared(project["dependencies"])), project["optional-dependencies"]
        every_extra = {name for extra in extras.values() for name in declared(extra)}
        every_group = {name for group in groups.values() for name in declared(group)}
        assert base | set(declared(extras["tensorflow"])) <= locked("serve").keys()
        assert base | every_extra <= locked("all").keys()
        assert base | every_extra | every_group <= locked("dev").keys()

    def test_locked_versions_are_those_asked_for(self) -> None:
        """Somebody raised a bound in ``pyproject.toml`` and forgot ``make lock``."""
        project, groups, versions = PYPROJECT["project"], PYPROJECT["dependency-groups"], locked("dev")
        lists = [project["dependencies"], *project["optional-dependencies"].values(), *groups.values()]
        asked = [Requirement(text) for texts in lists for text in texts if isinstance(text, str)]
        outside = [
            f"{one}, locked {versions[one.name.lower()]}"
            for one in asked
            if one.name != "mlserve" and not one.specifier.contains(versions[one.name.lower()])
        ]
        assert outside == []

    @pytest.mark.parametrize("name", ["serve", "all"])
    def test_one_environment_can_serve_and_test(self, name: str) -> None:
        """``make serve`` after ``make test`` would otherwise change versions back and forth."""
        assert locked(name).items() <= locked("dev").items()


class TestFindPython:
    """A machine without a fitting Python hears what to install; one with several gets the newest that works."""

    @staticmethod
    def python(folder: Path, name: str, script: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    @staticmethod
    def find(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("/bin/sh", ROOT / "scripts" / "find-python", *arguments, PATH=str(folder))

    def test_passes_over_commands_that_do_not_run(self, tmp_path: Path) -> None:
        """A version manager's shim is in PATH and only says "command not found"."""
        self.python(tmp_path, "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
        self.python(tmp_path, "python3.12", f'exec {shlex.quote(sys.executable)} "$@"')
        found = self.find(tmp_path)
        assert (found.returncode, found.stdout.strip()) == (0, str(tmp_path / "python3.12"))

    def test_says_which_pythons_it_saw_and_what_to_install(self, tmp_path: Path) -> None:
        self.python(tmp_path, "python3.11", "echo 'has no venv (No module named ensurepip)'; exit 1")
        self.python(tmp_path, "python3", "echo 'is Python 3.9'; exit 1")
        found = self.find(tmp_path)
        assert (found.returncode, found.stdout) == (1, "")
        for part in (
            "python3.13: not found",
            "python3.11: has no venv (No module named ensurepip)",
            "python3: is Python 3.9",
            "apt-get install python3 python3-venv",
            "make PYTHON=",
        ):
            assert part in found.stderr

    @pytest.mark.parametrize(
        ("version", "fits"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)]
    )
    def test_takes_3_11_to_3_13(self, tmp_path: Path, version: tuple[int, int], fits: bool) -> None:
        """The probe itself, told that it runs on another version."""
        pretend = f"import sys; sys.version_info = {(*version, 0, 'final', 0)}; exec(sys.argv[1])"
        self.python(tmp_path, "python3", f'exec {shlex.quote(sys.executable)} -c "{pretend}" "$2"')
        found = self.find(tmp_path)
        assert (found.returncode == 0) is fits
        if not fits:
            assert f"python3: is Python {version[0]}.{version[1]}" in found.stderr

    def test_a_python_without_venv_does_not_fit(self, tmp_path: Path) -> None:
        """Debian's python3 without python3-venv makes half an environment."""
        pretend = "import sys; sys.modules['ensurepip'] = None; exec(sys.argv[1])"
        self.python(tmp_path, "python3", f'exec {shlex.quote(sys.executable)} -c "{pretend}" "$2"')
        found = self.find(tmp_path)
        assert found.returncode == 1
        assert "python3: has no venv" in found.stderr

    def test_a_named_python_is_the_only_candidate(self, tmp_path: Path) -> None:
        """``make PYTHON=…`` does not quietly take another."""
        self.python(tmp_path, "python3", f'exec {shlex.quote(sys.executable)} "$@"')
        found = self.find(tmp_path, "/nowhere/python3.12")
        assert found.returncode == 1
        assert "/nowhere/python3.12: not found" in found.stderr


class TestMakefile:
    """``make serve`` and ``make test`` are the set-up the README promises."""

    @pytest.fixture
    def environment(self, tmp_path: Path) -> Path:
        """An environment that is up to date."""
        (tmp_path / "bin").mkdir()
        for name in ("bin/python", ".made", ".serve", ".dev"):
            (tmp_path / name).touch()
        return tmp_path

    @staticmethod
    def plan(*arguments: str | Path) -> str:
        """What make would do."""
        answer = run("make", "--dry-run", *arguments, MAKEFLAGS="")
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    @pytest.mark.parametrize(("target", "lock"), [("serve", "serve"), ("test", "dev"), ("check", "dev")])
    def test_first_makes_a_locked_environment(self, tmp_path: Path, target: str, lock: str) -> None:
        """Hashes or nothing, and the project itself brings no dependency of its own."""
        plan = self.plan(target, f"VENV={tmp_path / 'new'}")
        made, locked_install, project = (
            plan.index(text)
            for text in (
                "-m venv",
                f"pip install --require-hashes -r requirements/{lock}.txt",
                "pip install --no-deps --no-build-isolation --editable .",
            )
        )
        assert made < locked_install < project

    @pytest.mark.parametrize("target", ["serve", "test", "check"])
    def test_then_is_quick(self, environment: Path, target: str) -> None:
        assert "pip" not in self.plan(target, f"VENV={environment}")

    @pytest.mark.parametrize(("target", "lock"), [("serve", "serve"), ("test", "dev")])
    def test_a_changed_lock_is_installed(self, environment: Path, target: str, lock: str) -> None:
        plan = self.plan(target, f"VENV={environment}", "-W", f"requirements/{lock}.txt")
        assert "--require-hashes" in plan
        assert "-m venv" not in plan

    def test_an_environment_whose_python_went_away_is_made_anew(self, environment: Path) -> None:
        """The stamps outlive a system upgrade that takes the interpreter with it."""
        (environment / "bin" / "python").unlink()
        assert "-m venv" in self.plan("serve", f"VENV={environment}")

    def test_lists_every_target(self) -> None:
        text = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
        listed = set(re.findall(r"make (\w+) +\S", run("make", MAKEFLAGS="").stdout))
        assert listed == targets
        assert {"serve", "test", "check", "bench", "lock", "models", "clean", "help"} <= targets


class TestDockerfile:
    """The container is small in rights, sure of its versions, and hears SIGTERM."""

    STEPS = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())

    def steps(self, instruction: str) -> list[str]:
        """The arguments of every such instruction, in order."""
        return [step.strip() for step in re.findall(rf"^{instruction} (.+)$", self.STEPS, re.MULTILINE)]

    def test_base_images_are_pinned(self) -> None:
        """Both stages the same Python and the same system: what one builds has to run in the other."""
        (base,) = (step for step in self.steps("ARG") if step.startswith("PYTHON="))
        assert re.fullmatch(r"PYTHON=3\.1[1-3]-slim-\w+", base)
        assert [image.split()[0] for image in self.steps("FROM")] == ["python:${PYTHON}"] * 2

    def test_does_not_run_as_root(self) -> None:
        """By number, so that Kubernetes can see that it is not root."""
        user, group = self.steps("USER")[-1].split(":")
        assert int(user) > 0
        assert int(group) > 0

    @pytest.mark.parametrize("instruction", ["ENTRYPOINT", "CMD"])
    def test_starts_without_a_shell(self, instruction: str) -> None:
        """A shell in between swallows SIGTERM, and nothing drains."""
        (command,) = self.steps(instruction)
        assert all(isinstance(word, str) for word in json.loads(command))

    def test_serves_the_mounted_configuration(self) -> None:
        """And takes another command in its place: ``docker run mlserve check -c …``."""
        assert json.loads(self.steps("ENTRYPOINT")[0]) == ["mlserve"]
        assert json.loads(self.steps("CMD")[0])[:2] == ["-c", "/etc/mlserve/config.yaml"]
        (example,) = (step for step in self.steps("COPY") if step.startswith("config.example.yaml"))
        assert example.split()[1] == "/etc/mlserve/config.yaml"

    def test_keeps_the_runtime_from_reporting_to_its_makers(self) -> None:
        assert "ORT_DISABLE_TELEMETRY=1" in self.steps("ENV")[-1].split()

    def test_port_is_the_same_everywhere(self) -> None:
        (port,) = self.steps("EXPOSE")
        assert json.loads(self.steps("CMD")[0])[-2:] == ["--port", port]
        assert f":{port}/healthz" in self.steps("HEALTHCHECK")[0]

    def test_health_check_needs_no_curl(self) -> None:
        """It runs Python, which the image has, and its code compiles."""
        command = json.loads(self.steps("HEALTHCHECK")[0].partition("CMD ")[2])
        assert command[:2] == ["python", "-c"]
        compile(command[2], "health check", "exec")

    def test_installs_nothing_that_is_not_locked(self) -> None:
        installs = [step for step in self.steps("RUN") if "pip install" in step]
        assert installs
        assert all("--require-hashes" in step or "--no-deps --no-build-isolation" in step for step in installs)

    def test_all_it_copies_is_sent_to_the_builder(self) -> None:
        """``.dockerignore`` lets through only what it names."""
        sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        copied = [path for step in self.steps("COPY") if "--from" not in step for path in step.split()[:-1]]
        for path in copied:
            assert (ROOT / path).exists()
            assert path.split("/")[0] in sent
