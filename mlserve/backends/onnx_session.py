"""A session of onnxruntime on the first configured device that starts."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mlserve.backends.faults import brief, load_failure
from mlserve.backends.onnx_devices import OnnxDevice, available_devices, libraries_of
from mlserve.contracts.backend import LoadOptions

_log = logging.getLogger(__name__)

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:\s*)?")
_SOURCE_LINE = re.compile(r"\S+\.(?:cc|h):\d+ .*?\([^)]*\)(?: const)?\s")
_FATAL = 4
"""onnxruntime repeats on stderr what it raises; this silences the echo."""


def open_session(runtime: Any, file: Path, options: LoadOptions, model: bytes | None = None) -> tuple[Any, str]:
    """A session of ``runtime`` (the package), and what it runs on: the device, and the options that were given for it.

    ``model`` is loaded in place of what ``file`` holds; it cannot have external data, being nowhere.

    Falls past a device that does not start, with a warning. Raises :class:`~mlserve.errors.LoadError` if none does.
    """
    devices = available_devices(options.providers, options.provider_options, runtime.get_available_providers())
    if any(device.needs_cuda for device in devices) and hasattr(runtime, "preload_dlls"):
        with redirect_stdout(sys.stderr):  # it prints what it does not find; standard output is for answers
            runtime.preload_dlls()  # CUDA's libraries as pip installs them are on no path that the system searches
    failure: Exception | None = None
    for position, device in enumerate(devices):
        rest = devices[position:]
        try:
            session = _session(runtime, model or str(file), rest, options.threads)
        except Exception as error:  # onnxruntime's own errors share no base class
            failure = error
        else:
            # onnxruntime drops a provider whose libraries do not load and goes on without a word.
            if device.provider in session.get_providers():
                return session, "; ".join([device.words, *(other.words for other in rest[1:] if other.options)])
            failure = None
        if position + 1 < len(devices):
            why = brief(_why(failure, device))
            _log.warning("%s: device %r does not start, trying the next; %s", file.name, device.text, why)
    raise load_failure(file, _why(failure, devices[-1])) from failure


def _session(runtime: Any, model: bytes | str, devices: Sequence[OnnxDevice], threads: int | None) -> Any:
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads or 1
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _FATAL
    # Threads that spin while they wait take ten times the processor time of the runs themselves: decision 5.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # What the first device has no kernel for runs on the next; a provider may stand in the list only once.
    providers = list({device.provider: device.arguments for device in reversed(devices)}.items())[::-1]
    return runtime.InferenceSession(model, settings, providers=providers, enable_fallback=0)


def _why(error: Exception | None, device: OnnxDevice) -> str:
    if error is None:
        return f"onnxruntime did not start {device.text!r}: {libraries_of(device)}"
    return _SOURCE_LINE.sub("", _PREFIX.sub("", str(error)))
