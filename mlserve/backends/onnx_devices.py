"""``Providers`` in onnxruntime's terms: short names for execution providers, and which package brings each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mlserve.backends.devices import Device, parse_devices
from mlserve.errors import LoadError

_log = logging.getLogger(__name__)

_SUFFIX = "ExecutionProvider"
CPU = f"CPU{_SUFFIX}"

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


_LIBRARIES = {
    "CUDAExecutionProvider": "CUDA 12 or 13 and cuDNN 9; pip install 'onnxruntime-gpu[cuda,cudnn]' brings them",
    "TensorrtExecutionProvider": "TensorRT; pip install tensorrt brings it, beside 'onnxruntime-gpu[cuda,cudnn]'",
}


@dataclass(frozen=True, slots=True)
class OnnxDevice:
    """A device that this build of onnxruntime has: how the configuration calls it, its provider and its options."""

    text: str
    provider: str
    index: int | None
    options: Mapping[str, str]

    @property
    def arguments(self) -> dict[str, str]:
        """What onnxruntime is told."""
        return {**self.options, **({} if self.index is None else {"device_id": str(self.index)})}

    @property
    def words(self) -> str:
        """The device with its options, in one order whatever that of the configuration: they may change answers."""
        return " ".join([self.text, *(f"{name}={value}" for name, value in sorted(self.options.items()))])

    @property
    def needs_cuda(self) -> bool:
        return self.provider in _LIBRARIES


def available_devices(
    providers: Sequence[str], options: Mapping[str, Mapping[str, str]], available: Collection[str]
) -> list[OnnxDevice]:
    """Those of ``providers`` that are among onnxruntime's ``available`` ones, in order; a warning for each that is not.

    ``options`` are by the names in ``providers``. Raises :class:`LoadError`, which says what there is and what to
    install, if none is there or a name is unknown.
    """
    found: list[OnnxDevice] = []
    for device in parse_devices(providers):
        provider = next((name for name in _candidates(device) if name in available), None)
        if provider is None:
            _log.warning("%s", _absent(device, available))
        else:
            found.append(OnnxDevice(device.text, provider, device.index, options.get(device.text, {})))
    if not found:
        raise LoadError("; ".join(_absent(device, available) for device in parse_devices(providers)))
    return found


def libraries_of(device: OnnxDevice) -> str:
    """What onnxruntime needs beside itself to start ``device``, and where it comes from."""
    return f"it needs {_LIBRARIES.get(device.provider, 'the libraries of its vendor')}, and a driver for the device"


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
