"""``docs/backends.md`` has every backend, device and type that a configuration or a Python model may name."""

from __future__ import annotations

from mlserve import registry
from mlserve.backends.onnx_devices import _NAMES, _PACKAGES
from mlserve.backends.tensorflow_runtime import _GPU_NAMES
from mlserve.types import DType
from tests.support.markdown import ROOT, blocks, code, rows_of

PAGE = ROOT / "docs" / "backends.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_backend_is_told() -> None:
    """A backend that nobody can name is found by luck."""
    shown = {name for (backend, *_) in rows_of(PAGE, "At the URL").values() for name in code(backend)}
    assert shown == set(registry.names("backends"))


def test_every_device_and_its_package_is_told() -> None:
    """Somebody with a GPU must find its name here, and what to install."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    devices = {code(row)[0] for row in rows}
    assert _NAMES.keys() | set(_GPU_NAMES) <= devices
    for device, package in _PACKAGES.items():
        if device != "gpu":
            name = package.split()[0]
            assert any(code(row)[0] == device and name in row for row in rows), device


def test_every_type_of_a_signature_is_told() -> None:
    named = set(code("".join(TEXT.split("Types:")[1].split("\n\n")[0])))
    assert named == {str(dtype) for dtype in DType}


def test_members_of_a_python_model_that_the_sample_uses_are_told() -> None:
    (sample,) = (block.text for block in blocks(PAGE) if block.file == "delivery.py")
    members = {code(name)[0].partition("(")[0] for name in rows_of(PAGE, "Member")}
    assert {"signature", "load", "predict"} <= members
    assert [name for name in ("signature", "load", "predict") if name not in sample] == []
