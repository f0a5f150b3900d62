"""``Providers`` in onnxruntime's terms: short names for execution providers, and which package brings each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mlserve.backends.devices import Device, parse_devices
from mlserve.errors import LoadError

_log = logging.getLogger(__name__)

_SUFFIX = "ExecutionProvider"

_NAMES: dict[str, tuple[str, ...]] = {
    "cpu": ("CPU",),
    "gpu": ("CUDA", "MIGraphX", "ROCM", "Dml"),
    "cuda": ("CUDA",),
    "tensorrt": ("Tensorrt",),
    "rocm": ("MIGraphX", "ROCM"),
    "openvino": ("OpenVINO",),
    "coreml": ("CoreML",),
    "directml": ("Dml",),
}

_PACKAGES = {
    "gpu": "onnxruntime-gpu",
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "rocm": "onnxruntime-migraphx",
    "openvino": "onnxruntime-openvino",
    "coreml": "onnxruntime on macOS",
    "directml": "onnxruntime-directml",
}


@dataclass(frozen=True, slots=True)
class OnnxDevice:
    """A device that this build of onnxruntime has: how the configuration calls it, its provider and its options."""

    text: str
    provider: str
    options: dict[str, str]


def available_devices(providers: Sequence[str], available: Collection[str]) -> list[OnnxDevice]:
    """Those of ``providers`` that are among onnxruntime's ``available`` ones, in order; a warning for each that is not.

    Raises :class:`LoadError`, which says what there is and what to install, if none is or a name is unknown.
    """
    found: list[OnnxDevice] = []
    for device in parse_devices(providers):
        provider = next((name for name in _candidates(device) if name in available), None)
        if provider is None:
            _log.warning("%s", _absent(device, available))
        else:
            options = {} if device.index is None else {"device_id": str(device.index)}
            found.append(OnnxDevice(device.text, provider, options))
    if not found:
        raise LoadError("; ".join(_absent(device, available) for device in parse_devices(providers)))
    return found


def _candidates(device: Device) -> list[str]:
    if device.name.endswith(_SUFFIX):
        return [device.name]
    if device.name.lower() not in _NAMES:
        known = ", ".join(_NAMES)
        raise LoadError(f"Providers: {device.text!r} is unknown; there are {known}, and full names ending in {_SUFFIX}")
    return [name + _SUFFIX for name in _NAMES[device.name.lower()]]


def _absent(device: Device, available: Collection[str]) -> str:
    there = ", ".join(sorted(name for name in available if name != "AzureExecutionProvider"))
    package = _PACKAGES.get(device.name.lower())
    hint = f"; {package} brings it, installed in place of onnxruntime" if package else ""
    return f"onnxruntime has no device {device.text!r} (it has {there}){hint}"
