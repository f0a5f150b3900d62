"""TensorFlow itself: imported once, without its chatter, and the devices it has."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from mlserve.backends.devices import Device, parse_devices
from mlserve.backends.quiet import quiet_import
from mlserve.errors import LoadError, MissingPackage

_log = logging.getLogger(__name__)

_GPU_NAMES = ("gpu", "cuda")


@cache
def import_tensorflow() -> Any:
    """The package, 5 to 10 s after the first call. Raises :class:`MissingPackage`.

    An operator who sets ``TF_CPP_MIN_LOG_LEVEL`` to 0 or 1 gets what TensorFlow writes.
    ``TF_ENABLE_ONEDNN_OPTS`` is left alone, because it changes numbers.
    """
    wants_chatter = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") in ("0", "1")
    # Else all sessions of the process share the pool, and thus the number of threads, of the first one.
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
    try:
        tensorflow = (import_module if wants_chatter else quiet_import)("tensorflow")
    except ModuleNotFoundError as error:
        raise MissingPackage("a TensorFlow SavedModel", "tensorflow", "tensorflow") from error
    if not wants_chatter:
        tensorflow.get_logger().setLevel(logging.ERROR)
    return tensorflow


def choose_device(tensorflow: Any, providers: Sequence[str]) -> Device:
    """The first of ``providers`` that there is; a warning for each one passed over.

    Raises :class:`LoadError` if there is none, or for a name that TensorFlow does not know.
    """
    devices = parse_devices(providers)
    for device in devices:
        if device.name.lower() not in ("cpu", *_GPU_NAMES):
            raise LoadError(f"Providers: {device.text!r} is unknown to TensorFlow; it knows cpu, gpu[:n] and cuda[:n]")
    gpus = len(tensorflow.config.list_physical_devices("GPU")) if any(map(is_gpu, devices)) else 0
    absent: list[str] = []
    for device in devices:
        if not is_gpu(device) or (device.index or 0) < gpus:
            for text in absent:
                _log.warning("TensorFlow has no device %r (%s), using %r", text, _inventory(gpus), device.text)
            return device
        absent.append(device.text)
    raise LoadError(f"TensorFlow has no device {', '.join(map(repr, absent))} ({_inventory(gpus)})")


def is_gpu(device: Device) -> bool:
    """True for ``gpu`` and ``cuda``, with a number or without."""
    return device.name.lower() in _GPU_NAMES


def _inventory(gpus: int) -> str:
    if gpus:
        return f"it sees {gpus} GPU{'s' if gpus > 1 else ''}, numbered from 0"
    return "it sees no GPU: pip install 'tensorflow[and-cuda]' and an NVIDIA driver bring one"
