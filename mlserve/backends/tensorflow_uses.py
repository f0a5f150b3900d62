"""Where the elements of a model's inputs end: the graph is run once on what is known of each tensor before any request.

The walk keeps one invariant. A tensor holds elements of inputs that nothing has looked at yet (:class:`Elements`), or
it depends on them only through the uses that are noted here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlserve.backends.tensorflow_graph import is_stateful
from mlserve.backends.tensorflow_moves import Constant, Elements, Place, Table, Value, move, moved_operands


@dataclass(frozen=True, slots=True)
class Found:
    """An element is looked up in ``table``, which answers ``default`` to what it does not hold."""

    table: Table
    default: Constant


@dataclass(frozen=True, slots=True)
class Compared:
    """An element is found equal to one of the values of ``constant``, or not."""

    constant: Constant


@dataclass(frozen=True, slots=True)
class Read:
    """Anything else. ``op`` is the operation, empty for being an output; ``node`` its name, or that output's."""

    op: str
    node: str


Use = Found | Compared | Read
Uses = Mapping[Place, Sequence[Use]]

_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
_COMPARISONS = frozenset(["Equal", "NotEqual"])
_FINDS = frozenset(["LookupTableFind", "LookupTableFindV2"])
_SHAPES = frozenset(["OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"])
"""The answer is the same whatever the elements are."""
_PLAIN_TABLES = ("HashTable", "MutableHashTable", "MutableHashTableOfTensors")
_TABLES = frozenset([*_PLAIN_TABLES, *(f"{op}V2" for op in _PLAIN_TABLES)])
_DENSE_TABLES = frozenset(["MutableDenseHashTable", "MutableDenseHashTableV2"])

_Tensor = tuple[str, int]
"""A node, and which of its outputs; an argument of a function counts as a node."""


def find_uses(graph_def: Any, feeds: Mapping[str, Elements], fetches: Mapping[str, str]) -> Uses:
    """What becomes of the elements fed to the tensors ``feeds`` when ``fetches`` (output name to tensor) are computed.

    A place that is missing from the answer has no use: no output depends on it.
    """
    walk = _Walk(graph_def.library.function)
    graph = _Body(graph_def.node, walk.functions)
    given: dict[_Tensor, Value] = {graph.tensor(name): elements for name, elements in feeds.items()}
    for name, value in zip(fetches, walk.run(graph, given, list(fetches.values())), strict=True):
        walk.note(value, Read("", name))
    return {place: list(uses) for place, uses in walk.uses.items()}


class _Body:
    """The nodes of the graph or of a function."""

    def __init__(self, nodes: Iterable[Any], functions: Mapping[str, Any]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self._functions = functions

    def tensor(self, reference: str) -> _Tensor:
        """``node``, ``node:2`` (in graphs), ``node:output:2`` and ``argument`` (in functions), see function.proto."""
        name, *rest = reference.split(":")
        index = int(rest[-1]) if rest else 0
        node = self.nodes.get(name)
        if len(rest) == 2 and node is not None and node.op in self._functions:
            index += [arg.name for arg in self._functions[node.op].signature.output_arg].index(rest[0])
        return name, index

    def in_order(self, wanted: Iterable[str], given: Container[_Tensor]) -> list[Any]:
        """The nodes that ``wanted`` needs, each behind those it needs itself, but for loops, which never move elements.

        What only computes tensors that are ``given`` is not needed.
        """
        ordered: list[Any] = []
        seen: set[str] = set()
        pending = [(name, False) for name in wanted]
        while pending:
            reference, entered = pending.pop()
            name = reference.removeprefix("^").partition(":")[0]
            if entered:
                ordered.append(self.nodes[name])
            elif name in self.nodes and name not in seen and self.tensor(reference) not in given:
                seen.add(name)
                pending.append((name, True))
                pending += [(needed, False) for needed in self.nodes[name].input]
        return ordered


class _Walk:
    def __init__(self, library: Iterable[Any]) -> None:
        self.functions = {function.signature.name: function for function in library if _is_plain(function)}
        self.uses: defaultdict[Place, dict[Use, None]] = defaultdict(dict)
        self._known: dict[tuple[str, tuple[Value, ...]], Sequence[Value]] = {}
        self._running: set[str] = set()

    def note(self, value: Value, use: Use) -> None:
        """``use`` is made of every element in ``value``."""
        for place in value.places if isinstance(value, Elements) else ():
            self.uses[place][use] = None

    def run(self, body: _Body, given: Mapping[_Tensor, Value], wanted: Sequence[str]) -> Sequence[Value]:
        """The values of the tensors ``wanted`` (nodes behind a ``^`` just run). ``given`` is not computed."""
        values = dict(given)
        for node in body.in_order(wanted, given):
            operands = [values.get(body.tensor(name)) for name in node.input if name[0] != "^"]
            for index, value in enumerate(self._outputs(node, operands)):
                values.setdefault((node.name, index), value)
        return [values.get(body.tensor(name)) for name in wanted]

    def _outputs(self, node: Any, operands: Sequence[Value]) -> Sequence[Value]:
        called = node.attr["f"].func.name if node.op in _CALLS else node.op
        if called in self.functions and called not in self._running:
            return self._call(called, operands)
        match operands:
            case [] if node.op == "Const":
                return (Constant(node),)
            case [] if node.op in _TABLES and not self._running:
                return (Table(node.name),)
            case [Constant() as empty, Constant() as deleted] if node.op in _DENSE_TABLES and not self._running:
                return (Table(node.name, (empty, deleted)),)
            case [Table() as table, Elements() as elements, Constant() as default] if node.op in _FINDS:
                self.note(elements, Found(table, default))
                return ()
            case [Elements() as elements, Constant() as constant] | [
                Constant() as constant,
                Elements() as elements,
            ] if node.op in _COMPARISONS:
                self.note(elements, Compared(constant))
                return ()
        if node.op in _SHAPES:
            return ()
        moved = range(len(operands))[moved_operands(node)]
        for index, value in enumerate(operands):
            if index not in moved:
                self.note(value, Read(node.op, node.name))
        return move(node, operands)

    def _call(self, name: str, operands: Sequence[Value]) -> Sequence[Value]:
        """The results of a function; it is walked once for all calls with the same operands."""
        if not any(isinstance(value, Elements) for value in operands):
            return ()
        call = name, tuple(operands)
        if call not in self._known:
            function = self.functions[name]
            arguments = [(argument.name, 0) for argument in function.signature.input_arg]
            results = [function.ret[result.name] for result in function.signature.output_arg]
            effects = [*function.control_ret.values(), *(node.name for node in function.node_def if is_stateful(node))]
            self._running.add(name)
            values = self.run(
                _Body(function.node_def, self.functions),
                dict(zip(arguments, operands, strict=True)),
                [*results, *(f"^{effect}" for effect in effects)],
            )
            self._running.remove(name)
            self._known[call] = values[: len(results)]
        return self._known[call]


def _is_plain(function: Any) -> bool:
    """True if each argument and result is one tensor, as in all functions that TensorFlow traces."""
    signature = function.signature
    return not any(arg.number_attr or arg.type_list_attr for arg in (*signature.input_arg, *signature.output_arg))
