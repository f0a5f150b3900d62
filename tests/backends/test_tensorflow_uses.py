"""The walk over graphs that few programs write: what becomes of an input in functions, loops and odd places."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from mlserve.backends.tensorflow_moves import Elements, Place
from mlserve.backends.tensorflow_uses import Found, Read, find_uses

pytestmark = pytest.mark.usefixtures("tensorflow")

LOOKUP = """
node { name: "keys" op: "Const" attr { key: "value" value { tensor { dtype: DT_STRING string_val: "q" } } } }
node { name: "table" op: "HashTableV2" }
node { name: "default" op: "Const" }
"""


def uses_in(graph: str, feeds: dict[str, str], output: str) -> dict[str, list[str]]:
    """The uses that a graph in protobuf's text format makes of its feeds (tensor to name), as short words."""
    from tensorflow.core.framework.graph_pb2 import GraphDef

    elements = {tensor: Elements(frozenset([Place(name)])) for tensor, name in feeds.items()}
    uses = find_uses(text_format.Parse(LOOKUP + graph, GraphDef()), elements, {"y": output})
    kinds: dict[str, list[str]] = {}
    for place, found in uses.items():
        kinds[place.name] = [use.op if isinstance(use, Read) else type(use).__name__ for use in found]
    return kinds


def test_a_function_that_calls_itself() -> None:
    """The walk would not end."""
    graph = """
    node { name: "x" op: "Placeholder" }
    node { name: "y" op: "again" input: "x" }
    library { function {
      signature { name: "again" input_arg { name: "a" } output_arg { name: "o" } }
      node_def { name: "n" op: "again" input: "a" } ret { key: "o" value: "n:o:0" } } }
    """
    assert uses_in(graph, {"x:0": "x"}, "y:0") == {"x": ["again"]}


def test_a_table_made_in_a_function_is_not_the_graph_s() -> None:
    """Nodes of functions may have the names of the graph's: words of another table would be taken."""
    graph = """
    node { name: "x" op: "Placeholder" }
    node { name: "y" op: "inside" input: "x" input: "default" }
    library { function {
      signature { name: "inside" input_arg { name: "a" } input_arg { name: "d" } output_arg { name: "o" } }
      node_def { name: "table" op: "HashTableV2" }
      node_def { name: "n" op: "LookupTableFindV2" input: "table:table_handle:0" input: "a" input: "d" }
      ret { key: "o" value: "n:values:0" } } }
    """
    assert uses_in(graph, {"x:0": "x"}, "y:0") == {"x": ["LookupTableFindV2"]}


def test_a_side_effect_without_a_result() -> None:
    """An operation that runs for its effect alone would be overlooked in functions without control outputs."""
    graph = """
    node { name: "x" op: "Placeholder" }
    node { name: "y" op: "PartitionedCall" input: "x" attr { key: "f" value { func { name: "prints" } } } }
    library { function {
      signature { name: "prints" input_arg { name: "a" } output_arg { name: "o" } }
      node_def { name: "p" op: "PrintV2" input: "a" }
      node_def { name: "s" op: "Size" input: "a" } ret { key: "o" value: "s:output:0" } } }
    """
    assert uses_in(graph, {"x:0": "x"}, "y:0") == {"x": ["PrintV2"]}


def test_arguments_that_are_lists() -> None:
    """Operands and arguments would be paired wrongly."""
    graph = """
    node { name: "x" op: "Placeholder" }
    node { name: "y" op: "lists" input: "x" input: "default" }
    library { function {
      signature { name: "lists" input_arg { name: "a" number_attr: "N" } output_arg { name: "o" } }
      node_def { name: "s" op: "Size" input: "a:1" } ret { key: "o" value: "s:output:0" } } }
    """
    assert uses_in(graph, {"x:0": "x"}, "y:0") == {"x": ["lists"]}


def test_an_input_in_the_middle_of_the_graph() -> None:
    """What computes a tensor that callers send would count as a use, and that tensor as constant."""
    graph = """
    node { name: "x" op: "Placeholder" }
    node { name: "upper" op: "StringUpper" input: "x" }
    node { name: "y" op: "LookupTableFindV2" input: "table" input: "upper" input: "default" }
    node { name: "same" op: "Equal" input: "upper" input: "keys" }
    """
    assert uses_in(graph, {"upper:0": "u", "x:0": "x"}, "y:0") == {"u": [Found.__name__]}
    assert uses_in(graph, {"upper:0": "u", "keys:0": "k"}, "same:0") == {"u": ["Equal"], "k": ["Equal"]}
    assert uses_in(graph, {"x:0": "x", "default:0": "d"}, "y:0") == {
        "x": ["StringUpper"],
        "d": ["LookupTableFindV2"],
    }


def test_an_input_that_is_an_output_too() -> None:
    """Callers would read other callers' input in their answers."""
    assert uses_in('node { name: "x" op: "Placeholder" }', {"x:0": "x"}, "x:0") == {"x": [""]}


def test_several_outputs_of_one_node() -> None:
    """The second output of a node would be taken for the first."""
    graph = """
    node { name: "x" op: "Placeholder" } node { name: "z" op: "Placeholder" }
    node { name: "both" op: "IdentityN" input: "x" input: "z" }
    node { name: "y" op: "swap" input: "both:0" input: "both:1" }
    node { name: "upper" op: "StringUpper" input: "y:1" }
    library { function {
      signature { name: "swap" input_arg { name: "a" } input_arg { name: "b" }
                  output_arg { name: "first" } output_arg { name: "second" } }
      ret { key: "first" value: "b" } ret { key: "second" value: "a" } } }
    """
    assert uses_in(graph, {"x:0": "x", "z:0": "z"}, "upper:0") == {"x": ["StringUpper"]}
