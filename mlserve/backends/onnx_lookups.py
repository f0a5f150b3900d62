"""Which inputs of an ONNX model are only looked up in tables, and in which: what its graph proves of each.

An input, or a column of it, has a vocabulary if every path from it, through ops that move elements, ends in a lookup
with a default or a comparison with constants. Paths that lead to no output count too: onnxruntime runs them, and they
may fail. Whatever is not understood reads the value itself: what is missing here costs cache hits, never answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from mlserve.backends.faults import brief
from mlserve.backends.onnx_constants import Constants
from mlserve.backends.onnx_movers import INTEGERS, MOVERS, Elements, Mover, Operands
from mlserve.backends.onnx_tables import STRING, Words, compared, looked_up
from mlserve.backends.onnx_verdict import Use, lookups_of
from mlserve.types import UNKNOWN_NUMBER, UNKNOWN_WORD, Lookups

_MOST_COLUMNS: Final = 1024
"""Rows with more elements than this are taken as a whole."""

_MOST_STEPS: Final = 500_000
"""Nodes looked at before a graph is too large to follow: about four seconds."""

_DEEPEST: Final = 50
"""Functions that call functions."""

_STANDARD: Final = ("", "ai.onnx.ml")
_BLIND: Final = ("Shape", "Size")

Env = dict[str, Elements]
"""The tensors of one list of nodes that hold elements of the inputs."""


class _Lost(Exception):
    """The graph cannot be followed; the text says why."""


def find_lookups(model: Any) -> dict[str, Lookups]:
    """By name, for the inputs of ``model`` (a ``ModelProto``) that hold strings or integers. Reads no other file."""
    walk = _Walk(model.functions)
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = {
        info.name: walk.enter(info.type.tensor_type)
        for info in model.graph.input
        if info.name not in initialized and _is_countable(info.type.tensor_type.elem_type)
    }
    try:
        walk.through(model.graph, inputs)
    except _Lost as lost:
        return {name: Lookups(f"exact: {lost}") for name in inputs}
    return {name: walk.verdict(elements) for name, elements in inputs.items()}


def _is_countable(dtype: int) -> bool:
    return dtype == STRING or dtype in INTEGERS


class _Walk:
    """Follows elements from node to node, and notes what is done with those of each place."""

    def __init__(self, functions: Iterable[Any]) -> None:
        self._functions = {_key(function.domain, function.name, function): function for function in functions}
        self._uses: list[dict[Use, None]] = []
        self._unread: set[int] = set()
        self._steps = 0
        self._depth = 0

    def enter(self, kind: Any) -> Elements:
        """The elements of an input of that type: a place for each column of a matrix, else one for all."""
        dims = [dim.dim_value for dim in kind.shape.dim]
        columns = dims[1] if len(dims) == 2 and dims[0] in (0, 1) and 0 < dims[1] <= _MOST_COLUMNS else None
        first = len(self._uses)
        parts = tuple(frozenset([first + column]) for column in range(columns or 1))
        self._uses += [{} for _ in parts]
        self._unread |= frozenset().union(*parts)
        return Elements(kind.elem_type, parts, axis=1, rank=2) if columns else Elements(kind.elem_type, parts)

    def through(self, graph: Any, inputs: Env) -> None:
        """Note all uses that ``graph`` makes of its ``inputs``. Raises :class:`_Lost`."""
        if any(domain in _STANDARD for domain, _, _ in self._functions):
            raise _Lost("the model has a function in the domain of the standard ops")
        constants, env = Constants(), dict(inputs)
        constants.add_initializers(graph)
        self._run(graph.node, env, constants)
        for info in graph.output:
            self._use(Use("it is an output"), env.get(info.name))

    def verdict(self, elements: Elements) -> Lookups:
        """What the uses of an input prove."""
        sentinel = UNKNOWN_WORD if elements.dtype == STRING else UNKNOWN_NUMBER
        return lookups_of([self._uses[place] for part in elements.parts for place in part], sentinel)

    def _run(self, nodes: Any, env: Env, constants: Constants) -> None:
        used: set[str] = set()
        for node in nodes:
            if not self._unread:
                return  # nothing more to find out
            self._spend(1)
            constants.note(node)
            used.update(node.input)
            for name in _captured(node):
                used.add(name)
                self._use(Use(f"{_title(node)} reads it in a body of its own"), env.get(name))
            used.discard("")
            # onnxruntime sorts nodes itself; what was passed by cannot be followed any more.
            if not used.isdisjoint(node.output):
                raise _Lost("the nodes of the graph are not in order")
            if not env.keys().isdisjoint(node.input):
                self._visit(node, env, constants)

    def _visit(self, node: Any, env: Env, constants: Constants) -> None:
        domain, op, _ = key = _key(node.domain, node.op_type, node)
        function = self._functions.get(key)
        if function is not None:
            self._call(function, node, env, constants)
        elif (mover := MOVERS.get((domain, op))) is not None:
            self._move(mover, node, env, constants)
        elif domain or op not in _BLIND:
            self._look(domain, node, env, constants)

    def _call(self, function: Any, node: Any, env: Env, constants: Constants) -> None:
        defaults = {item.name: item for item in function.attribute_proto}
        attributes = {**defaults, **constants.attributes_of(node)}
        inner, inner_env = Constants(attributes), Env()
        for formal, name in zip(function.input, node.input, strict=False):
            inner.bind(formal, constants, name)
            if name in env:
                inner_env[formal] = env[name]
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Lost(f"its functions call one another more than {_DEEPEST} deep")
        self._run(function.node, inner_env, inner)
        self._depth -= 1
        for formal, name in zip(function.output, node.output, strict=False):
            if name and formal in inner_env:
                env[name] = inner_env[formal]

    def _move(self, mover: Mover, node: Any, env: Env, constants: Constants) -> None:
        names = list(node.input)
        moved = range(len(names))[mover.data]
        for place, name in enumerate(names):
            if place not in moved:
                self._use(_reads(node), env.get(name))
        data = [env.get(names[place]) for place in moved]
        first = next((item for item in data if item is not None), None)
        if first is None:
            return
        operands = Operands(data, names, len(node.output), constants.attributes_of(node), constants)
        outputs = mover.moves(first, operands)
        if outputs is None:
            self._use(_reads(node), first)
            return
        for name, elements in zip(node.output, outputs, strict=False):
            if elements.parts is not first.parts:
                self._spend(_weight(elements))
            if name and any(elements.parts):
                env[name] = elements

    def _look(self, domain: str, node: Any, env: Env, constants: Constants) -> None:
        names = list(node.input)
        for place, name in enumerate(names):
            if (elements := env.get(name)) is not None:
                other = names[1 - place] if (domain, node.op_type, len(names)) == ("", "Equal", 2) else None
                self._use(_use_of(node, domain, elements.dtype, other, constants), elements)

    def _use(self, use: Use, elements: Elements | None) -> None:
        """Note ``use`` for all places of ``elements``; those that have been read already are settled."""
        if elements is None:
            return
        self._spend(_weight(elements))
        for place in elements.places & self._unread:
            self._uses[place][use] = None
            if use.words is None:
                self._unread.discard(place)

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise _Lost("the graph is too large to follow")


def _weight(elements: Elements) -> int:
    """What looking at ``elements`` costs, in nodes."""
    return 1 + len(elements.parts) // 16


def _use_of(node: Any, domain: str, dtype: int, other: str | None, constants: Constants) -> Use:
    """What ``node`` does with an operand of ``dtype`` that it compares with ``other``, if it compares."""
    if other is not None and (words := compared(constants, other)) is not None:
        return Use(f"compared with {_count(words, 'value', 'values')} by {_title(node)}", words)
    if domain == "ai.onnx.ml" and (words := looked_up(node.op_type, constants.attributes_of(node), dtype)) is not None:
        return Use(f"looked up by {_title(node)} ({_count(words, 'category', 'categories')})", words)
    return _reads(node)


def _reads(node: Any) -> Use:
    return Use(f"{_title(node)} reads it")


def _title(node: Any) -> str:
    op: str = node.op_type
    return op if node.name in ("", op) else f"{op} {brief(node.name)!r}"


def _count(words: Words, one: str, many: str) -> str:
    return f"{len(words)} {one if len(words) == 1 else many}"


def _key(domain: str, name: str, message: Any) -> tuple[str, str, str]:
    """What a node and the function it calls have in common."""
    return "" if domain == "ai.onnx" else domain, name, message.overload


def _captured(node: Any) -> Iterator[str]:
    """Names of the tensors that the bodies of a control-flow node may take from around it."""
    bodies = [graph for item in node.attribute for graph in _graphs(item)]
    while bodies:
        body = bodies.pop()
        yield from (info.name for info in body.output)
        for inner in body.node:
            yield from inner.input
            bodies += [graph for item in inner.attribute for graph in _graphs(item)]


def _graphs(attribute: Any) -> list[Any]:
    return [*attribute.graphs, attribute.g] if attribute.HasField("g") else list(attribute.graphs)
