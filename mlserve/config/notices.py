"""Keys that load, because mly's files have them, and change nothing here: each is told once, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mlserve.config.conform import Named
from mlserve.config.schema import (
    BatchConfig,
    Config,
    DatastoreConfig,
    EndpointConfig,
    InputConfig,
    MemoryCacheConfig,
    ModelConfig,
    OutputConfig,
    PrometheusConfig,
    Section,
)
from mlserve.config.words import show_path
from mlserve.errors import Problem

_OUTPUT_TYPES: Final = "the model's signature says what an output is"
_POSITION: Final = "the order of the list counts"
_SIZE_MB: Final = "SizeMB alone bounds the tier, whatever number and size its entries have"
_LOGGING: Final = "what is logged is set by --log-level and Endpoint.AccessLog"

WITHOUT_EFFECT: Final[Mapping[type[Section], Mapping[str, str]]] = {
    Config: {
        "ProfilerPort": "profiles are served on the one port, with EnableCPUProf and EnableMemProf",
    },
    EndpointConfig: {
        "PoolMaxSize": "request buffers are not pooled here",
    },
    ModelConfig: {
        "ContinueOnRecover": "a failing run never ends the process",
        "Debug": _LOGGING,
        "DictURL": "vocabularies are read from the model itself",
        "Dir": "Location alone says where local copies are made",
        "OutputType": _OUTPUT_TYPES,
        "ReloadTimeoutSeconds": "a reload may take as long as it needs; the old version serves meanwhile",
        "Stream": "requests are not logged to files; see Endpoint.AccessLog",
    },
    InputConfig: {"Index": _POSITION},
    OutputConfig: {"DataType": _OUTPUT_TYPES, "Index": _POSITION},
    BatchConfig: {"Verbose": _LOGGING},
    DatastoreConfig: {
        "Debug": _LOGGING,
        "Storable": "results are stored by their outputs' names and types",
    },
    MemoryCacheConfig: {
        "EntrySize": _SIZE_MB,
        "MaxEntries": _SIZE_MB,
        "Location": "this tier lives in memory; for one on disk, name a Connection with an lmdb: URL",
        "Shards": "the tier has one thread and needs none",
    },
    PrometheusConfig: {
        "ModelIdletimeBuckets": "idle time is not measured; /metrics has request and queue times instead",
    },
}


def notices(named: Iterable[Named], file: str) -> tuple[Problem, ...]:
    """One notice for each key of :data:`WITHOUT_EFFECT` in the file, at its first place."""
    found: dict[tuple[type[Section], str], list[Named]] = {}
    for key in named:
        if key.name in WITHOUT_EFFECT.get(key.section, {}):
            found.setdefault((key.section, key.name), []).append(key)
    return tuple(
        Problem(
            f"{file}:{first.line}",
            show_path(first.path),
            f"has no effect here: {WITHOUT_EFFECT[section][name]}" + _again(others),
        )
        for (section, name), (first, *others) in found.items()
    )


def _reason(section: type[Section], name: str) -> str:
    return f"has no effect here: {WITHOUT_EFFECT[section][name]}"


def _again(others: list[Named]) -> str:
    return f" (and in {len(others)} more place{'s' if len(others) > 1 else ''})" if others else ""
