"""Which operations a signature's outputs depend on, functions included, and whether any of them makes answers vary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# fmt: off
_RANDOM_OPS = frozenset([
    "AllCandidateSampler", "AnonymousRandomSeedGenerator", "FixedUnigramCandidateSampler",
    "FractionalAvgPool", "FractionalMaxPool", "LearnedUnigramCandidateSampler",
    "LogUniformCandidateSampler", "Multinomial", "NonDeterministicInts", "ParameterizedTruncatedNormal",
    "RandomGamma", "RandomPoisson", "RandomPoissonV2", "RandomShuffle", "RandomStandardNormal",
    "RandomUniform", "RandomUniformInt", "RngReadAndSkip", "SampleDistortedBoundingBox",
    "SampleDistortedBoundingBoxV2", "StatefulRandomBinomial", "StatefulStandardNormal",
    "StatefulStandardNormalV2", "StatefulTruncatedNormal", "StatefulUniform", "StatefulUniformFullInt",
    "StatefulUniformInt", "ThreadUnsafeUnigramCandidateSampler", "Timestamp", "TruncatedNormal",
    "UniformCandidateSampler",
])
# fmt: on
"""``StatelessRandom*`` are absent on purpose: equal seeds give equal numbers; a seed that varies comes from these."""

# fmt: off
_WRITING_OPS = frozenset([
    "Assign", "AssignAdd", "AssignAddVariableOp", "AssignSub", "AssignSubVariableOp",
    "AssignVariableOp", "CountUpTo", "LookupTableImport", "LookupTableImportV2", "LookupTableInsert",
    "LookupTableInsertV2", "LookupTableRemoveV2", "ResourceCountUpTo", "ResourceScatterAdd",
    "ResourceScatterUpdate", "ScatterAdd", "ScatterUpdate",
])
# fmt: on
"""A model that counts its calls answers differently each time, as one that draws does."""

# fmt: off
_TABLE_WRITING_OPS = frozenset([
    "InitializeTable", "InitializeTableFromDataset", "InitializeTableFromTextFile",
    "InitializeTableFromTextFileV2", "InitializeTableV2", "LookupTableImport", "LookupTableImportV2",
    "LookupTableInsert", "LookupTableInsertV2", "LookupTableRemoveV2",
])
# fmt: on
"""All that TensorFlow has, whatever handle they get: handles of one ``shared_name`` are one table."""


def is_deterministic(graph_def: Any, tensors: Iterable[str]) -> bool:
    """False if computing ``tensors`` (such as ``"StatefulPartitionedCall:0"``) draws random numbers or writes state."""
    return not any(op in _RANDOM_OPS or op in _WRITING_OPS for op in _reachable_ops(graph_def, tensors))


def table_writer(graph_def: Any, tensors: Iterable[str]) -> str | None:
    """The name of an operation that changes a lookup table while ``tensors`` are computed; ``None`` if none does."""
    return next((op for op in _reachable_ops(graph_def, tensors) if op in _TABLE_WRITING_OPS), None)


def is_stateful(node: Any) -> bool:
    """True if ``node`` of a function may run although no result of the function needs it."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    return definition is None or bool(definition.is_stateful)


def _reachable_ops(graph_def: Any, tensors: Iterable[str]) -> Iterator[str]:
    functions = {function.signature.name: function for function in graph_def.library.function}
    pending: list[str] = []
    yield from _walk(graph_def.node, tensors, functions, pending)
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            function = functions[name]
            results = (*function.ret.values(), *function.control_ret.values())
            yield from _walk(function.node_def, results, functions, pending)


def _walk(
    nodes: Iterable[Any], tensors: Iterable[str], functions: Mapping[str, Any], called: list[str]
) -> Iterator[str]:
    """Ops of one body upstream of ``tensors``; names of the functions they call are appended to ``called``."""
    by_name = {node.name: node for node in nodes}
    pending = [_node_name(tensor) for tensor in tensors]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or name not in by_name:  # a name that no node has is an argument of the function
            continue
        seen.add(name)
        node = by_name[name]
        yield node.op
        pending += [_node_name(tensor) for tensor in node.input]
        called += [callee for callee in (node.op, *_callees(node)) if callee in functions]


def _callees(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
