"""A model as its server describes it: ``meta/config`` and ``meta/dictionary``, read into the server's own terms.

Keys come from the same code here and there, so what is read must mean the same: an input without ``Shape`` is one value
per row, one with a layer is folded by it, and every other one stands exactly. ``docs/api.md`` describes both documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from mlserve.errors import BadAnswer
from mlserve.types import (
    UNKNOWN_NUMBER,
    UNKNOWN_WORD,
    DType,
    InputField,
    Interface,
    Lookups,
    Serving,
    Shape,
    TensorSpec,
    Vocabulary,
)

_OF_MLY: Final = {"float": "float32"}


@dataclass(frozen=True, slots=True)
class TierPlace:
    """One shared tier of the model's datastore. ``label`` is ``l1`` or ``l2``; ``records`` are of mly's layout."""

    label: str
    connection: str
    records: bool
    namespace: str | None
    dataset: str | None
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Description:
    """One version of a model.

    ``generation`` is in hex. It is ``None`` where answers may not be kept: by the server's configuration, or because it
    does not tell. ``size_mb`` is that of the server's own memory tier, ``None`` without one. Answers live ``ttl_s``;
    that the shared tiers have no entry is believed for ``retry_s``.
    """

    interface: Interface
    generation: str | None = None
    size_mb: float | None = None
    ttl_s: float = 0.0
    retry_s: float = 0.0
    tiers: tuple[TierPlace, ...] = ()

    @property
    def outputs(self) -> dict[str, TensorSpec]:
        return {spec.name: spec for spec in self.interface.outputs or ()}


def read_description(config: bytes, dictionary: bytes, place: str) -> Description:
    """``place`` is the server's address as errors show it. Raises :class:`BadAnswer`."""
    try:
        return _description(orjson.loads(config), orjson.loads(dictionary))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"{place} describes the model in a way that is not understood: {error!r}") from error


def _description(config: dict[str, Any], dictionary: dict[str, Any] | None) -> Description:
    layers = {layer["Name"]: _vocabulary(layer) for layer in (dictionary or {}).get("Layers") or ()}
    interface = Interface(
        tuple(_input(entry, layers.get(entry["Name"])) for entry in config["Inputs"] or ()),
        tuple(_output(entry) for entry in config.get("Outputs") or ()),
        Serving.ROWS,
        None if dictionary is None else int(dictionary["Hash"]),
    )
    generation = (dictionary or {}).get("Generation")
    if not config.get("ID") or config.get("Disabled") or generation is None:
        return Description(interface)
    bytes.fromhex(generation)
    cache = config.get("Cache")
    return Description(
        interface,
        generation,
        float(cache["SizeMb"]) if cache else None,
        config["TimeToLiveMs"] / 1000,
        config["RetryTimeMs"] / 1000,
        tuple(_tier(entry) for entry in config.get("Tiers") or ()),
    )


def _vocabulary(layer: dict[str, Any]) -> Vocabulary:
    strings = layer.get("Strings")
    return Vocabulary(layer.get("Ints") or (), UNKNOWN_NUMBER) if strings is None else Vocabulary(strings, UNKNOWN_WORD)


def _input(entry: dict[str, Any], vocabulary: Vocabulary | None) -> InputField:
    return InputField(
        name=entry["Name"],
        dtype=_dtype(entry.get("DataType", "string")),
        shape=_shape(entry.get("Shape", ())),
        auxiliary=entry.get("Auxiliary", False),
        wildcard=entry.get("Wildcard", False),
        precision=entry.get("Precision"),
        lookups=None if vocabulary is None else Lookups("by the dictionary", vocabulary),
    )


def _output(entry: dict[str, Any]) -> TensorSpec:
    row = _shape(entry.get("Shape", (1,)))
    return TensorSpec(entry["Name"], _dtype(entry["DataType"]), None if row is None else (None, *row))


def _dtype(name: str) -> DType:
    return DType(_OF_MLY.get(name, name))


def _shape(sizes: list[int] | tuple[int, ...] | None) -> Shape | None:
    return None if sizes is None else tuple(None if size < 0 else size for size in sizes)


def _tier(entry: dict[str, Any]) -> TierPlace:
    return TierPlace(
        entry["Tier"],
        entry["Connection"],
        entry["Layout"] == "mly",
        entry.get("Namespace"),
        entry.get("Dataset"),
        entry["TimeToLiveMs"] / 1000,
    )
