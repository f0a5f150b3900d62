"""What no single member can know: names that must exist, names given twice, members that contradict one another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Final

from mlserve import registry
from mlserve.config.schema import Config, ConnectionConfig, DatastoreConfig, InputConfig, ModelConfig, TierConfig
from mlserve.config.words import Path, suggest
from mlserve.types import DType

Complaint = tuple[Path, str]

_PYTHON_FILE: Final = re.compile(r"(?!python:).+\.py(?::\w*)?")
_CODE: Final = re.compile(r"(?:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|.+\.py):[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_DATA_TYPES: Final = ("float", "int", *(dtype.value for dtype in DType if dtype is not DType.JSON))


def check(config: Config) -> Iterator[Complaint]:
    """Every contradiction in ``config``, as the path of the member at fault and what is wrong with it."""
    if not config.models:
        yield ("Models",), "a configuration needs at least one model: Models: [{ID: name, URL: where the model lies}]"
    yield from _unique("Models", [model.id for model in config.models])
    yield from _unique("Datastores", [store.id for store in config.datastores])
    yield from _unique("Connections", [connection.id for connection in config.connections])
    stores = [store.id for store in config.datastores]
    for at, model in enumerate(config.models):
        yield from _model(("Models", at), model, stores)
    for at, store in enumerate(config.datastores):
        yield from _datastore(("Datastores", at), store, config.connections)
    for at, connection in enumerate(config.connections):
        yield from _connection(("Connections", at), connection)
    for at, subnet in enumerate(config.allowed_subnet):
        if not _is_subnet(subnet):
            yield (
                ("AllowedSubnet", at),
                "expected an address, a CIDR block such as 10.0.0.0/8, or whole octets such as 10.1.",
            )


def _unique(section: str, ids: Sequence[str]) -> Iterator[Complaint]:
    for at, name in enumerate(ids):
        if name in ids[:at]:
            yield (section, at, "ID"), f"{name} is already the ID of {section}[{ids.index(name)}]"


def _model(path: Path, model: ModelConfig, stores: list[str]) -> Iterator[Complaint]:
    if model.data_store and model.data_store not in stores:
        yield (*path, "DataStore"), _no_such("datastore", model.data_store, stores, "Datastores")
    if model.transformer is not None and not _CODE.fullmatch(model.transformer):
        yield (
            (*path, "Transformer"),
            "expected module:function or file.py:function; Go transformers, known by a name, have to be ported",
        )
    yield from _backend(path, model)
    yield from _provider_options(path, model)
    if model.url.startswith("python:") and not _CODE.fullmatch(model.url.removeprefix("python:")):
        yield (*path, "URL"), "expected python:module:Class or python:file.py:Class"
    if _PYTHON_FILE.fullmatch(model.url) and model.backend is None:
        yield (*path, "URL"), "a Python file serves by one of its classes: expected python:file.py:Class"
    if model.mode == "router":
        yield (*path, "Mode"), "router is not supported: give each model its own entry and let the caller choose"
    yield from _inputs(path, model)
    yield from _test(path, model)


def _provider_options(path: Path, model: ModelConfig) -> Iterator[Complaint]:
    for device, options in model.provider_options.items():
        here = (*path, "ProviderOptions", device)
        if device not in model.providers:
            yield here, f"is not one of Providers: {', '.join(model.providers)}"
        if not isinstance(options, dict):
            yield here, "expected a mapping of the runtime's options, such as {gpu_mem_limit: 4294967296}"
            continue
        for name, value in options.items():
            if name == "device_id":
                yield (*here, name), f"is said by the name of the device: {device.partition(':')[0]}:{value}"
            elif not isinstance(value, str | int | float):
                yield (*here, name), "expected text, a number or a boolean"


def _backend(path: Path, model: ModelConfig) -> Iterator[Complaint]:
    if model.platform == "triton":
        yield (*path, "Platform"), "triton is not supported: give the model's own URL and leave Platform out"
    elif model.platform is not None and model.backend != model.platform:
        yield (*path, "Platform"), f"contradicts Backend: {model.backend}; leave Platform out"
    if model.backend is None:
        return
    backends = registry.names("backends")
    if model.backend.startswith("python:"):
        if not _CODE.fullmatch(model.backend.removeprefix("python:")):
            yield (*path, "Backend"), "expected python:module:Class or python:file.py:Class"
    elif model.backend not in backends:
        yield (*path, "Backend"), f"no backend {model.backend}; {suggest(model.backend, backends)}"


def _inputs(path: Path, model: ModelConfig) -> Iterator[Complaint]:
    names = [item.name for item in model.inputs]
    for at, item in enumerate(model.inputs):
        if item.name in names[:at]:
            yield (*path, "Inputs", at, "Name"), f"{item.name} is already the name of Inputs[{names.index(item.name)}]"
        yield from _input((*path, "Inputs", at), item)
    for member, listed in (("KeyFields", model.key_fields), ("Auxiliary", model.auxiliary)):
        for at, name in enumerate(listed):
            if name in listed[:at]:
                yield (*path, member, at), f"{name} is given twice"
    outputs = [output.name for output in model.outputs]
    for at, name in enumerate(outputs):
        if name in outputs[:at]:
            yield (*path, "Outputs", at, "Name"), f"{name} is given twice"


def _input(path: Path, item: InputConfig) -> Iterator[Complaint]:
    try:
        dtype = item.dtype
    except ValueError:
        dtype = DType.JSON
    if dtype is DType.JSON:
        yield (*path, "DataType"), f"no data type {item.data_type}; {suggest(item.data_type or '', [*_DATA_TYPES])}"
        return
    if item.precision is None:
        return
    if item.wildcard:
        yield (
            (*path, "Precision"),
            "contradicts Wildcard: true, which puts the exact value into the key; give one of them",
        )
    elif dtype is None and item.auxiliary:
        yield (*path, "Precision"), "an auxiliary input is text unless DataType says float; Precision is for floats"
    elif dtype is not None and not dtype.is_float:
        yield (*path, "Precision"), f"is for floats, and DataType is {item.data_type}"


def _test(path: Path, model: ModelConfig) -> Iterator[Complaint]:
    test = model.test
    if test is None:
        return
    if test.expect is not None and test.single is None and test.batch is None:
        yield (*path, "Test", "Expect"), "needs Single or Batch: without given inputs no output can be foretold"
    lengths: dict[str, int] = {}
    for name, column in (test.batch or {}).items():
        if not isinstance(column, list) or not column:
            yield (*path, "Test", "Batch", name), "expected a list with one value per row"
        else:
            lengths[name] = len(column)
    rows = max(lengths.values(), default=1)
    for name, length in lengths.items():
        if length not in (1, rows):
            yield (
                (*path, "Test", "Batch", name),
                f"has {length} values, others have {rows}; give one for all, or one per row",
            )


def _datastore(path: Path, store: DatastoreConfig, connections: Sequence[ConnectionConfig]) -> Iterator[Complaint]:
    by_id = {connection.id: connection for connection in connections}
    tiers: list[tuple[Path, TierConfig]] = [(path, store)]
    if store.l2 is not None:
        tiers.append(((*path, "L2"), store.l2))
        if not store.l2.connection:
            yield (*path, "L2", "Connection"), "is missing: L2 is a tier behind a connection"
    for at, tier in tiers:
        if not tier.connection:
            continue
        if tier.connection not in by_id:
            yield (*at, "Connection"), _no_such("connection", tier.connection, list(by_id), "Connections")
        else:
            yield from _tier(at, tier, by_id[tier.connection])


def _tier(path: Path, tier: TierConfig, connection: ConnectionConfig) -> Iterator[Complaint]:
    if connection.scheme != "aerospike":
        if tier.layout == "mly":
            yield (*path, "Layout"), f"mly is a layout of Aerospike, and the connection {connection.id} is not one"
        return
    where = f"{connection.id} (Aerospike)"
    if not tier.namespace and not _ends_with_namespace(connection):
        yield (*path, "Namespace"), f"is missing: what is in {where} is in a namespace; its URL may end with /name"
    if not tier.dataset and tier.keeps_records_in(connection):
        yield (*path, "Dataset"), f"is missing: clients of mly find records in {where} by it; Layout: native needs none"


def _ends_with_namespace(connection: ConnectionConfig) -> bool:
    return bool((connection.url or "").partition("://")[2].partition("/")[2].strip("/"))


def _connection(path: Path, connection: ConnectionConfig) -> Iterator[Complaint]:
    url = connection.url
    if url is None:
        return
    if not re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", url):
        yield (*path, "URL"), "expected a URL such as redis://host:6379/0, aerospike://host:3000 or lmdb:./dir"
    elif connection.scheme not in (schemes := _schemes()):
        yield (*path, "URL"), f"no store {connection.scheme}; {suggest(connection.scheme, schemes)}"
    elif "://" in url and any(map(str.isspace, url)):
        yield (*path, "URL"), "white space in a URL: write %20 for a blank"
    if "port" in connection.model_fields_set:
        yield (*path, "Port"), "goes with Hostnames; here it belongs into the URL"


def _schemes() -> list[str]:
    """Those of stores outside the process."""
    return [name for name in registry.names("stores") if name != "memory"]


def _is_subnet(text: str) -> bool:
    """True for what :mod:`mlserve.transport.subnet` can read, and for nothing else: it would refuse it too late."""
    text = text.strip()
    if "/" not in text and ":" not in text:
        octets = text.removesuffix(".").split(".")
        if len(octets) == 4 and text.endswith("."):
            return False
        text = ".".join([*octets, *["0"] * (4 - len(octets))])
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _no_such(kind: str, name: str, choices: list[str], section: str) -> str:
    return f"no {kind} {name}; {suggest(name, choices)}" if choices else f"no {kind} {name}: there are no {section}"
