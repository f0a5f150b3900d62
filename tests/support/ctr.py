"""``ctr``, the model of mly's worked examples, and one of two words: interfaces made by hand, without files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from mlserve.config.load import parse_config
from mlserve.config.schema import Config
from mlserve.serving.deployment import Deployment, Facts, Origin
from mlserve.serving.interface import build_interface
from mlserve.types import DType, Interface, Lookups, Serving, Signature, TensorSpec, Vocabulary
from tests.support.deployments import FakeView, deployment
from tests.support.vocabularies import numbers, words

SCORE: Final = TensorSpec("score", DType.FLOAT32, (None, 1))
HASH: Final = -7408354822416734953
LETTERS: Final = ("", "[UNK]", "a", "b", "c")
CTR_STORE: Final[dict[str, Any]] = {"ID": "ctrcache", "Cache": {"SizeMb": 64}}
CTR_INPUTS: Final = (
    '[{"Name":"price","Index":0,"DataType":"float","Precision":2},{"Name":"age","Index":0,"DataType":"int64"},'
    '{"Name":"country","Index":0,"DataType":"string"},{"Name":"site","Index":0,"DataType":"string"}]'
)


def ctr(store: dict[str, Any] | None = CTR_STORE, **settings: Any) -> tuple[Config, Interface]:
    """Configuration and interface of ``ctr``; ``settings`` are members of its entry in ``Models``."""
    model = {"ID": "ctr", "URL": "ctr", "Inputs": [{"Name": "price", "Precision": 2}], **settings}
    if store is not None:
        model["DataStore"] = store["ID"]
    return configured(
        model,
        store,
        {
            "age": (DType.INT64, numbers(-1, 0, 25, 30)),
            "country": (DType.STRING, words("", "[UNK]", "de", "us")),
            "price": (DType.FLOAT32, None),
            "site": (DType.STRING, words("", "[UNK]", "a.com", "b.com")),
        },
    )


def configured(
    model: dict[str, Any],
    store: dict[str, Any] | None = None,
    inputs: dict[str, tuple[DType, Vocabulary | None]] | None = None,
    *,
    connections: list[dict[str, Any]] | None = None,
    outputs: tuple[TensorSpec, ...] | None = None,
    dict_hash: int | None = HASH,
) -> tuple[Config, Interface]:
    """``inputs`` are the model's, each with the words it is looked up among; two of letters if none are given."""
    inputs = inputs or {name: (DType.STRING, words(*LETTERS)) for name in ("sa", "sl")}
    tree = {"Models": [model], "Datastores": [store] if store else [], "Connections": connections or []}
    config = parse_config(orjson.dumps(tree).decode(), place="memory://config.yaml", environ={}).config
    signature = Signature(tuple(TensorSpec(name, it[0], (None, 1)) for name, it in inputs.items()), outputs or (SCORE,))
    lookups = {name: Lookups("looked up", it[1]) if it[1] else Lookups("exact") for name, it in inputs.items()}
    return config, build_interface(signature, config.wanted_models()[0], Serving.ROWS, lookups, dict_hash)


def deployed(config: Config, interface: Interface, *, not_cached: str | None = None, **settings: Any) -> Deployment:
    """A version of the first model of ``config`` that has one output, ``score``."""
    model = config.wanted_models()[0]
    made = deployment(face=interface, model_id=model.id, cache=FakeView(not_cached), **settings)
    made.origin = Origin(model, ())
    made.facts = with_outputs(made.facts)
    return made


def with_outputs(facts: Facts) -> Facts:
    return replace(facts, signature=Signature((), (SCORE,)))
