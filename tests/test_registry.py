"""A plug-in of ours or of somebody else's could not be found, or cost its import to all, if these failed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from mlserve import registry


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """What was resolved here must not be remembered elsewhere."""
    yield
    registry.resolve.cache_clear()
    registry._entry_points.cache_clear()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's package with a backend ``zeta``, one ``abacus``, and one that takes a name of ours."""
    points = {
        "mlserve.backends": [
            EntryPoint("zeta", "fractions:Fraction", "mlserve.backends"),
            EntryPoint("abacus", "nowhere_to_be_found:Abacus", "mlserve.backends"),
            EntryPoint("onnx", "fractions:Fraction", "mlserve.backends"),
        ]
    }
    monkeypatch.setattr(registry, "entry_points", lambda group: points.get(group, []))
    registry.resolve.cache_clear()
    registry._entry_points.cache_clear()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, table in registry.TABLES.items() for name in table])
def test_every_row_names_a_class_of_that_name(kind: str, name: str) -> None:
    """Labels of metrics and logs are the names in the registry. Importing it needs no runtime.

    A store has a row for each scheme of its URLs, one of which is its name.
    """
    plug_in = registry.resolve(kind, name)
    assert plug_in.name == name or (kind == "stores" and registry.resolve(kind, plug_in.name) is plug_in)


def test_ours_come_first_each_sorted(installed: None) -> None:
    """Backends are asked in this order what an artefact is."""
    assert registry.names("backends") == [*sorted(registry.TABLES["backends"]), "abacus", "zeta"]
    assert registry.names("protocols") == sorted(registry.TABLES["protocols"])


def test_somebody_else_s_is_found_by_its_entry_point(installed: None) -> None:
    """Without a change to mlserve."""
    from fractions import Fraction

    assert registry.resolve("backends", "zeta") is Fraction


def test_nobody_replaces_one_of_ours(installed: None) -> None:
    """An installed package must not change what ``onnx`` means."""
    assert registry.resolve("backends", "onnx").__module__ == "mlserve.backends.onnx"


def test_an_unknown_name_lists_those_there_are(installed: None) -> None:
    """A misspelt ``Backend`` is mended from the message alone."""
    with pytest.raises(LookupError, match=r"no backend 'onxn'; there are: onnx, python, tensorflow, abacus, zeta"):
        registry.resolve("backends", "onxn")


def test_nothing_is_imported_before_it_is_used() -> None:
    """A server of ONNX models starts without TensorFlow, and one without models without either."""
    code = (
        "import sys, mlserve.registry as r; names = [r.names(k) for k in r.TABLES];"
        "print([m for m in sys.modules if m.startswith(('mlserve.backends', 'mlserve.protocols', 'onnx', 'tensorf'))])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
