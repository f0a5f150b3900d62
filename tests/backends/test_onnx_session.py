"""A model would run on another device than was asked for, or without its settings, if these failed.

The runtime is a fake that has GPUs: what it is told is what is tested. The real one is in ``test_onnx.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlserve.backends.onnx_session import open_session
from mlserve.contracts.backend import LoadOptions
from mlserve.errors import LoadError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
FILE = Path("model.onnx")


class Settings:
    """Takes what is set, and keeps it."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value


class Session:
    def __init__(self, providers: Sequence[str], settings: Any) -> None:
        self._providers = list(providers)
        self.settings = settings

    def get_providers(self) -> list[str]:
        return self._providers


class Runtime:
    """``has`` are the providers that it was built with, ``broken`` those whose libraries do not load.

    ``refuses`` raises for a provider option of that name, as the real one does.
    """

    SessionOptions = Settings

    def __init__(self, *has: str, broken: Sequence[str] = (), refuses: str = "") -> None:
        self.asked: list[list[tuple[str, dict[str, str]]]] = []
        self.preloads = 0
        self._has = (*has, CPU)
        self._broken = broken
        self._refuses = refuses

    def get_available_providers(self) -> list[str]:
        return list(self._has)

    def preload_dlls(self) -> None:
        self.preloads += 1
        print("Failed to load libcudart.so")

    def InferenceSession(  # noqa: N802  # as onnxruntime calls it
        self, file: str, settings: Any, *, providers: list[tuple[str, dict[str, str]]], enable_fallback: int
    ) -> Session:
        self.asked.append(providers)
        for _, options in providers:
            if self._refuses in options:
                raise RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : Unknown provider option: {self._refuses}")
        return Session([name for name, _ in providers if name not in self._broken], settings)


def opened(runtime: Runtime, *providers: str, **options: dict[str, str]) -> str:
    named = {name.replace("_", ":"): values for name, values in options.items()}
    _, words = open_session(runtime, FILE, LoadOptions(providers=providers, provider_options=named))
    return words


def test_each_device_gets_its_number_and_its_options() -> None:
    """What the first has no kernel for runs on the next, with the settings of that."""
    runtime = Runtime(CUDA, TENSORRT)
    words = opened(runtime, "tensorrt", "cuda:1", "cpu", tensorrt={"trt_fp16_enable": "True"}, cuda_1={"use_tf32": "0"})
    assert runtime.asked == [
        [(TENSORRT, {"trt_fp16_enable": "True"}), (CUDA, {"use_tf32": "0", "device_id": "1"}), (CPU, {})]
    ]
    assert words == "tensorrt trt_fp16_enable=True; cuda:1 use_tf32=0"


def test_the_runtime_s_words_name_what_may_change_answers_in_one_order() -> None:
    """They enter the generation: answers in half precision must not be found by a model in full."""
    options = {"b": "2", "a": "1"}
    assert opened(Runtime(CUDA), "cuda:0", "cpu", cuda_0=options) == "cuda:0 a=1 b=2"
    assert opened(Runtime(CUDA), "cuda:0", "cpu", cuda_0=dict(reversed(options.items()))) == "cuda:0 a=1 b=2"
    assert opened(Runtime(CUDA), "cuda:0", "cpu") == "cuda:0"


def test_an_absent_device_is_passed_over_and_said_with_its_package(caplog: pytest.LogCaptureFixture) -> None:
    """The reader has onnxruntime without GPUs installed, and has to know that there is another package."""
    runtime = Runtime()
    with caplog.at_level(logging.WARNING):
        assert opened(runtime, "tensorrt:0", "cpu") == "cpu"
    assert runtime.asked == [[(CPU, {})]]
    assert "no device 'tensorrt:0' (it has CPUExecutionProvider); onnxruntime-gpu brings it" in caplog.text
    assert runtime.preloads == 0


def test_a_device_without_its_libraries_says_what_brings_them(caplog: pytest.LogCaptureFixture) -> None:
    """onnxruntime-gpu alone brings neither CUDA nor TensorRT; it drops the provider without a word."""
    runtime = Runtime(CUDA, TENSORRT, broken=[CUDA, TENSORRT])
    with caplog.at_level(logging.WARNING):
        assert opened(runtime, "tensorrt", "cuda", "cpu") == "cpu"
    tensorrt, cuda = (record.getMessage() for record in caplog.records)
    assert "device 'tensorrt' does not start, trying the next" in tensorrt
    assert "pip install tensorrt" in tensorrt
    assert "device 'cuda' does not start, trying the next" in cuda
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in cuda
    assert [[name for name, _ in asked] for asked in runtime.asked] == [[TENSORRT, CUDA, CPU], [CUDA, CPU], [CPU]]


def test_without_another_device_that_is_the_error() -> None:
    """The model does not load, and the health page shows why."""
    with pytest.raises(LoadError, match=r"did not start 'cuda:3': it needs CUDA .*cudnn.*, and a driver"):
        opened(Runtime(CUDA, broken=[CUDA]), "cuda:3")


def test_an_option_that_the_runtime_refuses_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A misspelt limit of memory would take the whole GPU."""
    with caplog.at_level(logging.WARNING):
        assert opened(Runtime(CUDA, refuses="gpu_mem_limitt"), "cuda", "cpu", cuda={"gpu_mem_limitt": "1"}) == "cpu"
    assert "Unknown provider option: gpu_mem_limitt" in caplog.text


def test_libraries_that_pip_installed_are_looked_for_and_nothing_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They lie in site-packages, where the system does not search; standard output is for the answers of commands."""
    runtime = Runtime(CUDA)
    opened(runtime, "cuda", "cpu")
    assert runtime.preloads == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Failed to load libcudart.so" in err


def test_threads_wait_without_spinning_and_are_one_unless_it_is_said() -> None:
    """Spinning between runs takes ten times the processor time of the runs."""
    for threads, expected in ((None, 1), (3, 3)):
        session, _ = open_session(Runtime(), FILE, LoadOptions(threads=threads))
        assert session.settings.entries["session.intra_op.allow_spinning"] == "0"
        assert session.settings.intra_op_num_threads == expected
        assert session.settings.inter_op_num_threads == 1
