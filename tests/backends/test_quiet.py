"""Chatter on file descriptor 2 vanishes; whatever else is written meanwhile arrives."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from mlserve.backends.quiet import CHATTER, quiet_stderr


def test_other_lines_pass_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    """Log lines of other threads would be lost while TensorFlow is imported."""
    with quiet_stderr(re.compile(rb"noise")):
        os.write(2, b"one\nnoise 1\ntw")
        os.write(2, b"o\n" + b"x" * 200_000 + b"\nnoise 2\nno newline at the end")
    os.write(2, b"\nafter\n")
    lines = capfd.readouterr().err.splitlines()
    assert [line[:30] for line in lines] == ["one", "two", "x" * 30, "no newline at the end", "after"]


def test_an_error_within_puts_the_descriptor_back(capfd: pytest.CaptureFixture[str]) -> None:
    """A failed import would leave the server mute."""
    with pytest.raises(ImportError), quiet_stderr(re.compile(rb"noise")):
        raise ImportError
    os.write(2, b"noise\n")
    assert capfd.readouterr().err == "noise\n"


def test_without_a_stderr_it_does_nothing() -> None:
    """A daemon that closed it could not load a model."""
    code = """
import os, re
from mlserve.backends.quiet import quiet_stderr
os.close(2)
with quiet_stderr(re.compile(b"")):
    print("ran")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "ran\n"


@pytest.mark.parametrize(
    ("line", "dropped"),
    [
        (b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR", True),
        (b"I0000 00:00:1795171863.852780    6853 port.cc:153] oneDNN custom operations are on.", True),
        (b"2026-11-20 10:56:54.08 [W:onnxruntime:Default, device_discovery.cc:164] GPU discovery failed", True),
        (b"E0000 00:00:1795171863.852780    6853 cuda.cc:1] out of memory", False),
        (b"INFO mlserve: ready", False),
        (b"Traceback (most recent call last):", False),
    ],
)
def test_what_is_chatter(line: bytes, dropped: bool) -> None:
    """An error would vanish, or a greeting would stay."""
    assert bool(CHATTER.match(line)) is dropped


def test_blocks_overlap_and_the_last_puts_the_descriptor_back(capfd: pytest.CaptureFixture[str]) -> None:
    """A lock instead would make the first ONNX model wait for TensorFlow's long import."""
    outer, inner = quiet_stderr(re.compile(rb"noise")), quiet_stderr(re.compile(rb"noise"))
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    os.write(2, b"noise, still diverted\nkept\n")
    inner.__exit__(None, None, None)
    os.write(2, b"noise, back\n")
    assert capfd.readouterr().err == "kept\nnoise, back\n"
