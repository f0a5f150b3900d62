"""Random ops are found in every place a graph can call from, and only where an answer comes from."""

from __future__ import annotations

from typing import Any

import pytest

from mlserve.backends.tensorflow_graph import is_deterministic

FUNCTIONS = """
library {
  function { signature { name: "draws" output_arg { name: "o" } } ret { key: "o" value: "n:output:0" }
             node_def { name: "n" op: "RandomUniform" } }
  function { signature { name: "idle" output_arg { name: "o" } } ret { key: "o" value: "n:output:0" }
             node_def { name: "n" op: "Const" } node_def { name: "dead" op: "RandomUniform" } }
  function { signature { name: "writes" output_arg { name: "o" } } ret { key: "o" value: "n:output:0" }
             control_ret { key: "w" value: "w" }
             node_def { name: "n" op: "Const" } node_def { name: "w" op: "AssignAddVariableOp" } }
  function { signature { name: "nests" output_arg { name: "o" } } ret { key: "o" value: "n:output:0" }
             node_def { name: "n" op: "PartitionedCall" attr { key: "f" value { func { name: "draws" } } } } }
  function { signature { name: "recurs" output_arg { name: "o" } } ret { key: "o" value: "n:output:0" }
             node_def { name: "n" op: "PartitionedCall" attr { key: "f" value { func { name: "recurs" } } } } }
}
"""


@pytest.mark.parametrize(
    ("node", "deterministic"),
    [
        ('op: "Const"', True),
        ('op: "RandomShuffle"', False),
        ('op: "Identity" input: "noise:1"', False),
        ('op: "Identity" input: "^noise"', False),
        ('op: "StatelessRandomNormal"', True),
        ('op: "draws"', False),
        ('op: "PartitionedCall" attr { key: "f" value { func { name: "idle" } } }', True),
        ('op: "PartitionedCall" attr { key: "f" value { func { name: "writes" } } }', False),
        ('op: "PartitionedCall" attr { key: "f" value { func { name: "nests" } } }', False),
        ('op: "PartitionedCall" attr { key: "f" value { func { name: "recurs" } } }', True),
        ('op: "Case" attr { key: "branches" value { list { func { name: "idle" } func { name: "draws" } } } }', False),
    ],
)
def test_what_an_answer_depends_on(tensorflow: Any, node: str, deterministic: bool) -> None:
    """One caller's draw would be every caller's answer, or a plain model would not be cached."""
    from google.protobuf import text_format

    text = f'node {{ name: "y" {node} }} node {{ name: "noise" op: "RandomUniform" }} {FUNCTIONS}'
    graph_def = text_format.Parse(text, tensorflow.compat.v1.GraphDef())
    assert is_deterministic(graph_def, ["y:0"]) is deterministic
