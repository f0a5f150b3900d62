"""Tiny ONNX models that say which version they are, and how to publish one as operators should: by rename."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx
from onnx import TensorProto, helper


def write_version(path: Path, version: int) -> None:
    """A model ``x float32[-1,1] -> a, b float32[-1,1]`` with a = b = x + version, dated an hour ago."""
    columns = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("x", "a", "b")]
    constant = helper.make_tensor("v", TensorProto.FLOAT, [1, 1], [float(version)])
    nodes = [helper.make_node("Add", ["x", "v"], [name]) for name in ("a", "b")]
    graph = helper.make_graph(nodes, "version", columns[:1], columns[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    hour_ago = path.stat().st_mtime - 3600
    os.utime(path, (hour_ago, hour_ago))  # old enough to count as settled at once


def publish(artifact: Path, target: Path) -> None:
    """Put ``artifact`` in place of ``target`` by rename, so that nobody ever sees half of it."""
    staged = target.with_name(f".{target.name}.staged")
    if artifact.is_dir():
        shutil.copytree(artifact, staged)
        old = target.with_name(f".{target.name}.old")
        if target.exists():
            target.rename(old)
        staged.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        shutil.copy2(artifact, staged)
        staged.replace(target)
