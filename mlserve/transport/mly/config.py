"""``meta/config``: the inputs in key order, and where a client may look for answers before it asks.

A version that is not cached is shown without its datastore: what the server may not keep, clients may not either. One
that says ``Disabled`` itself is shown as it is, since clients understand that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from mlserve.config.schema import DatastoreConfig, MemoryCacheConfig, ModelConfig
from mlserve.serving.deployment import Deployment
from mlserve.serving.interface import row_shape
from mlserve.transport.mly.dictionary import printable
from mlserve.transport.mly.inputs import inputs_document, shape_member
from mlserve.transport.mly.tiers import (
    connections_document,
    read_by_mly,
    reference_document,
    shared_tiers,
    tiers_document,
)
from mlserve.types import Interface, Serving, TensorSpec

_SHARDS: Final = 32
"""The fewest that mly makes."""


def config_json(deployment: Deployment) -> bytes:
    """The document of one version. Imports the files of stores."""
    config, interface = deployment.origin.config, deployment.interface
    cached = deployment.cache.not_cached is None or (config.store is not None and config.store.disabled)
    outputs = deployment.facts.signature.outputs if interface.outputs is None else interface.outputs
    return orjson.dumps(config_document(config, interface, outputs, cached=cached))


def config_document(
    config: ModelConfig, interface: Interface, outputs: tuple[TensorSpec, ...], *, cached: bool
) -> dict[str, Any]:
    """``outputs`` are the model's where a transformer decides. Members in mly's order, ``Tiers`` (ours) last."""
    store = config.store if cached else None
    return dict(
        (
            *_datastore(config, store, interface, outputs),
            ("Inputs", inputs_document(config, interface)),
            *_fields(config, store, interface),
            ("Outputs", [_output(index, spec, interface.serving) for index, spec in enumerate(outputs)]),
            *_tiers(store, interface),
        )
    )


def _datastore(
    config: ModelConfig, store: DatastoreConfig | None, interface: Interface, outputs: tuple[TensorSpec, ...]
) -> Iterator[tuple[str, object]]:
    if store is None:
        yield from {"Connections": None, "ID": "", "Cache": None, "Storable": "", "Fields": None}.items()
        return
    tiers = read_by_mly(shared_tiers(store, interface))
    yield "Connections", connections_document(tiers)
    yield "ID", store.id
    yield "Cache", store.cache and _cache(store.cache)
    yield from reference_document(tiers[0] if tiers else None, store).items()
    if len(tiers) > 1:
        yield "L2", reference_document(tiers[1], store)
    yield "Storable", store.storable or ""
    yield "Fields", _stored(config, store, outputs)
    for name, on in (("Disabled", store.disabled), ("Debug", store.debug)):
        if on:
            yield name, True


def _cache(cache: MemoryCacheConfig) -> dict[str, Any]:
    return {
        "MaxEntries": cache.max_entries or 0,
        "EntrySize": cache.entry_size or 0,
        "SizeMb": cache.size_mb,
        "Shards": cache.shards or _SHARDS,
        "Location": cache.location or "",
    }


def _stored(
    config: ModelConfig, store: DatastoreConfig, outputs: tuple[TensorSpec, ...]
) -> list[dict[str, Any]] | None:
    """The fields of an entry: as configured, else the first output, whose type mly leaves open."""
    if store.fields:
        return [{"Name": field.name, "DataType": field.data_type or ""} for field in store.fields]
    if store.storable or not outputs:
        return None
    return [{"Name": printable(outputs[0].name), "DataType": config.output_type or ""}]


def _fields(config: ModelConfig, store: DatastoreConfig | None, interface: Interface) -> Iterator[tuple[str, object]]:
    key_fields = list(config.key_fields)
    if store is not None and not key_fields:
        key_fields = sorted(field.name for field in interface.inputs if not field.auxiliary)
    for name, names in (("KeyFields", key_fields), ("Auxiliary", list(config.auxiliary))):
        if names:
            yield name, [printable(one) for one in names]


def _output(index: int, spec: TensorSpec, serving: Serving) -> dict[str, Any]:
    members = {"Name": printable(spec.name), "Index": index, "DataType": str(spec.dtype)}
    return members | shape_member(row_shape(spec, serving))


def _tiers(store: DatastoreConfig | None, interface: Interface) -> Iterator[tuple[str, object]]:
    tiers = [] if store is None or store.disabled else shared_tiers(store, interface)
    if store is not None and tiers:
        yield "Tiers", tiers_document(tiers, store)
