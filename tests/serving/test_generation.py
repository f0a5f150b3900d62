"""The generation moves with all that changes an answer: were it to stay, caches would answer for another model."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.schema import ModelConfig
from mlserve.errors import LoadError
from mlserve.serving.generation import generation_digest, generation_number, module_digest
from mlserve.serving.interface import build_interface, serving_mode
from mlserve.types import DType, Lookups, Serving, Signature
from tests.support.models import signature
from tests.support.vocabularies import words

TWO = signature(
    {"x": (DType.FLOAT32, (None, 1)), "s": (DType.STRING, (None, 1))},
    {"y": (DType.FLOAT32, (None, 1)), "z": (DType.FLOAT32, (None, 1))},
)


@dataclasses.dataclass(frozen=True)
class Made:
    """All that a version is made of; each test changes one thing."""

    members: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"artifact": "aa", "transformer": "bb"})
    signature: Signature = TWO
    runtime: str = "fake 1.0 (cpu)"
    lookups: Mapping[str, Lookups] = dataclasses.field(default_factory=dict)

    def generation(self) -> str:
        config = ModelConfig.model_validate({"ID": "m", "URL": "m", **self.members})
        interface = build_interface(self.signature, config, serving_mode(self.signature, config), self.lookups, None)
        return generation_digest(self.parts, self.signature, interface, config, self.runtime)


BASE = Made()


def changed(**inputs: Any) -> Signature:
    return signature(
        {"x": (DType.FLOAT32, (None, 1)), "s": (DType.STRING, (None, 1))} | inputs,
        {"y": (DType.FLOAT32, (None, 1)), "z": (DType.FLOAT32, (None, 1))},
    )


def entry(**members: Any) -> dict[str, Any]:
    """The base configuration with an ``Inputs`` entry for ``x``."""
    return {"Inputs": [{"Name": "x", **members}]}


NEW = {
    "artefact": Made(parts={"artifact": "ab", "transformer": "bb"}),
    "transformer code": Made(parts={"artifact": "aa", "transformer": "bc"}),
    "parts exchanged": Made(parts={"artifact": "bb", "transformer": "aa"}),
    "model code": Made(parts={"artifact": "aa", "transformer": "bb", "code": "cc"}),
    "runtime": Made(runtime="fake 1.1 (cpu)"),
    "device": Made(runtime="fake 1.0 (cuda:0)"),
    "dtype": Made(signature=changed(x=(DType.FLOAT64, (None, 1)))),
    "shape": Made(signature=changed(x=(DType.FLOAT32, (None, 2)))),
    "rank, of equal rows": Made(signature=changed(x=(DType.FLOAT32, (None,)))),
    "another input": Made(signature=changed(w=(DType.FLOAT32, (None, 1)))),
    "outputs": Made(signature=Signature(TWO.inputs, TWO.outputs[:1])),
    "order of outputs": Made(signature=Signature(TWO.inputs, TWO.outputs[::-1])),
    "CacheVersion": Made({"CacheVersion": "2"}),
    "Rows": Made({"Rows": False}),
    "Outputs": Made({"Outputs": [{"Name": "y"}]}),
    "order of keys": Made(entry()),
    "Precision": Made(entry(Precision=2)),
    "another Precision": Made(entry(Precision=3)),
    "Wildcard": Made(entry(Wildcard=True)),
    "Default": Made(entry(Default=0)),
    "another Default": Made(entry(Default=1)),
    "Default NaN": Made(entry(Default=float("nan"))),
    "auxiliary": Made({"Auxiliary": ["a"]}),
    "auxiliary in the key": Made({"KeyFields": ["a"]}),
    "Transformer": Made({"Transformer": "t.py:f"}),
    "function of the transformer": Made({"Transformer": "t.py:g"}),
    "class of a python model": Made({"URL": "python:m.py:A"}),
    "another class of a python model": Made({"URL": "python:m.py:B"}),
    "class beside an artefact": Made({"Backend": "python:m.py:C"}),
    "Signature": Made({"Signature": "other"}),
    "Tags": Made({"Tags": ["serve", "gpu"]}),
    "vocabulary": Made(lookups={"s": Lookups("", words("a", "b"))}),
    "another word": Made(lookups={"s": Lookups("", words("a", "c"))}),
    "words run together": Made(lookups={"s": Lookups("", words("ab"))}),
    "no word": Made(lookups={"s": Lookups("", words())}),
    "vocabulary of a column": Made(lookups={"s": Lookups("", columns={0: words("a", "b")})}),
    "vocabulary of another column": Made(lookups={"s": Lookups("", columns={1: words("a", "b")})}),
    "vocabulary, but Wildcard": Made(
        {"Inputs": [{"Name": "s", "Wildcard": True}]}, lookups={"s": Lookups("", words("a", "b"))}
    ),
}

SAME = {
    "ID": Made({"ID": "another"}),
    "URL": Made({"URL": "s3://bucket/elsewhere"}),
    "PollInterval": Made({"PollInterval": "5s"}),
    "Required": Made({"Required": False}),
    "Location": Made({"Location": "elsewhere"}),
    "Test": Made({"Test": {"Single": {"x": 1}}}),
    "MaxBytes": Made({"MaxBytes": 1000}),
    "Threads": Made({"Threads": 2}),
    "order of parts": Made(parts={"transformer": "bb", "artifact": "aa"}),
    "a listing of all outputs": Made({"Outputs": [{"Name": "z"}, {"Name": "y"}]}),
    "a listing of inputs in their order": Made({"Inputs": [{"Name": "s"}, {"Name": "x"}]}),
}


def test_each_change_is_a_generation_of_its_own() -> None:
    """Two equal ones among these would share cached answers that differ."""
    generations = {name: made.generation() for name, made in {"nothing": BASE, **NEW}.items()}
    twins = {name for name, value in generations.items() if list(generations.values()).count(value) > 1}
    assert not twins


@pytest.mark.parametrize("what", SAME)
def test_what_changes_no_answer_keeps_the_generation(what: str) -> None:
    """A moved or renamed model would lose its cache."""
    assert SAME[what].generation() == BASE.generation()


def test_how_a_vocabulary_was_found_and_in_which_order_does_not_matter() -> None:
    """Two hosts list the same words in another order, and a new mlserve words its reasons otherwise."""
    one = {place: words(*"abc") for place in (0, 1)}
    other = {place: words(*"cba") for place in (1, 0)}
    generations = {
        Made(lookups={"s": Lookups(reason, columns=columns)}).generation()
        for reason, columns in (("looked up", one), ("found in a table", other))
    }
    assert len(generations) == 1


IN_ANOTHER_PROCESS = """
from mlserve.types import Lookups
from tests.serving.test_generation import Made
from tests.support.vocabularies import words

lookups = {"s": Lookups("", words(*map(str, range(1000))), {1: words("x", "y"), 0: words("z")})}
print(Made(lookups=lookups).generation())
"""


def test_every_process_finds_the_same_generation() -> None:
    """Sets of words have another order in each: hosts that share a cache would never find each other's answers."""
    found = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        root = Path(__file__).parents[2]
        run = subprocess.run(
            command, env=environment, cwd=root, capture_output=True, text=True, timeout=60, check=False
        )
        assert (run.returncode, run.stderr) == (0, "")
        found.add(run.stdout)
    assert len(found) == 1


def test_a_large_vocabulary_is_a_short_text() -> None:
    """The digest is over the text of the interface, and so would be a log line: not megabytes of words."""
    lookups = {"s": Lookups("looked up", words(*map(str, range(100_000))))}
    config = ModelConfig.model_validate({"ID": "m", "URL": "m"})
    face = build_interface(TWO, config, Serving.ROWS, lookups, None)
    assert len(repr(face.inputs)) < 1000


def test_the_folder_of_user_code_does_not_matter() -> None:
    """Paths differ from host to host, and hosts share caches."""
    here, there = (Made({"Transformer": f"{folder}t.py:f"}).generation() for folder in ("", "/srv/models/"))
    assert here == there


@given(st.binary(min_size=8, max_size=32))
def test_numbers_that_clients_misread_do_not_occur(raw: bytes) -> None:
    """mly clients take 0 for "no dictionary" and -2^63 for "gone"."""
    number = generation_number(raw.hex())
    assert -(2**63) < number < 2**63
    assert number != 0


@pytest.mark.parametrize(
    ("digest", "number"),
    [
        ("00" * 32, 1),
        ("80" + "00" * 31, 1),
        ("00" * 7 + "02" + "ff" * 24, 2),
        ("ff" * 32, -1),
        ("7f" + "ff" * 31, 2**63 - 1),
        ("80" + "00" * 6 + "01" + "00" * 24, -(2**63) + 1),
    ],
)
def test_the_number_is_the_front_of_the_digest(digest: str, number: int) -> None:
    """It must be the same on every host that loads the same version."""
    assert generation_number(digest) == number


def test_a_module_is_known_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And by the source that it had when it was imported: what lies there later does not run."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mlserve_test_transformer.py").write_text("one")
    expected = hashlib.sha256(b"one").hexdigest()
    assert module_digest("mlserve_test_transformer") == expected
    (tmp_path / "mlserve_test_transformer.py").write_text("two")
    assert module_digest("mlserve_test_transformer") == expected


@pytest.mark.parametrize("module", ["mlserve_test_absent", "mlserve_test_absent.sub", "sys", "json.", ""])
def test_a_module_without_source_is_refused(module: str) -> None:
    """Its answers would be cached under a generation that never moves."""
    with pytest.raises(LoadError, match="module"):
        module_digest(module)


@pytest.mark.parametrize("code", ["1 / 0", "raise SystemExit(3)", "syntax error here"])
def test_a_package_that_fails_to_import(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding a submodule runs its package, and that may even call sys.exit()."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mlserve_test_package").mkdir()
    (tmp_path / "mlserve_test_package" / "__init__.py").write_text(code)
    with pytest.raises(LoadError, match=r"'mlserve_test_package\.part' cannot be imported: \w+"):
        module_digest("mlserve_test_package.part")
    assert "mlserve_test_package" not in sys.modules
