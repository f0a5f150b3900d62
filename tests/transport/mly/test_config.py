"""mly's clients would make other keys, look elsewhere, or end at their start, if ``meta/config`` told another story."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mlserve.config.schema import Config
from mlserve.transport.mly.config import config_document, config_json
from mlserve.types import DType, Interface, Serving, Shape, TensorSpec
from tests.support.ctr import CTR_INPUTS, CTR_STORE, SCORE, configured, ctr, deployed


def document(config: Config, interface: Interface, *outputs: TensorSpec, cached: bool = True) -> dict[str, Any]:
    return config_document(config.wanted_models()[0], interface, outputs or (SCORE,), cached=cached)


def written(document: dict[str, Any]) -> str:
    return orjson.dumps(document).decode()


def test_the_worked_example_to_the_byte() -> None:
    """Members, their order and those that are left out are what Go's decoder and people's scripts know."""
    config, interface = ctr()
    assert written(document(config, interface)) == (
        '{"Connections":null,"ID":"ctrcache","Cache":{"MaxEntries":0,"EntrySize":0,"SizeMb":64,"Shards":32,"Location":'
        '""},"Connection":"","Namespace":"","Dataset":"","TimeToLiveMs":900000,"RetryTimeMs":5000,"Storable":"",'
        '"Fields":[{"Name":"score","DataType":""}],"Inputs":[{"Name":"price","Index":0,"DataType":"float","Precision":'
        '2},{"Name":"age","Index":0,"DataType":"int64"},{"Name":"country","Index":0,"DataType":"string"},{"Name":'
        '"site","Index":0,"DataType":"string"}],"KeyFields":["age","country","price","site"],"Outputs":[{"Name":'
        '"score","Index":0,"DataType":"float32"}]}'
    )


def test_without_a_datastore() -> None:
    """``ID`` and ``Cache`` are what switch a client's cache on."""
    config, interface = ctr(store=None)
    expected = '{"Connections":null,"ID":"","Cache":null,"Storable":"","Fields":null,"Inputs":' + CTR_INPUTS
    assert written(document(config, interface)) == (
        expected + ',"Outputs":[{"Name":"score","Index":0,"DataType":"float32"}]}'
    )


@pytest.mark.parametrize(
    ("not_cached", "disabled", "told"),
    [(None, False, True), ("equal inputs may give different outputs", False, False), ("it is disabled", True, True)],
)
def test_what_the_server_may_not_keep_clients_may_not_either(
    not_cached: str | None, disabled: bool, told: bool
) -> None:
    """A client with a datastore caches whatever is answered. ``Disabled`` it understands, and does not."""
    config, interface = ctr(store=CTR_STORE | {"Disabled": disabled})
    shown = orjson.loads(config_json(deployed(config, interface, not_cached=not_cached)))
    assert shown["ID"] == ("ctrcache" if told else "")
    assert shown.get("Disabled") == (True if disabled else None)
    assert "Tiers" not in shown


def test_a_transformer_s_outputs_are_those_of_the_model() -> None:
    """What a transformer makes of them is not known before it runs."""
    config, interface = ctr()
    made = deployed(config, Interface(interface.inputs, None, interface.serving, interface.dict_hash))
    assert orjson.loads(config_json(made))["Outputs"] == [{"Name": "score", "Index": 0, "DataType": "float32"}]


def test_members_that_only_some_configurations_have() -> None:
    """Each stands where mly has it, and not at all where it says nothing."""
    store = CTR_STORE | {
        "Cache": {"SizeMb": 2, "MaxEntries": 5, "EntrySize": 64, "Shards": 64, "Location": "/tmp/x"},
        "TimeToLiveMs": 1500,
        "RetryTimeMs": 250,
        "Storable": "ctr",
        "Fields": [{"Name": "score", "DataType": "float32"}],
        "Debug": True,
    }
    config, interface = ctr(store=store, KeyFields=["age", "site"], OutputType="float32")
    shown = document(config, interface)
    assert shown["Cache"] == {"MaxEntries": 5, "EntrySize": 64, "SizeMb": 2, "Shards": 64, "Location": "/tmp/x"}
    assert (shown["TimeToLiveMs"], shown["RetryTimeMs"]) == (1500, 250)
    assert (shown["Storable"], shown["Fields"]) == ("ctr", [{"Name": "score", "DataType": "float32"}])
    assert (shown["Debug"], shown["KeyFields"]) == (True, ["age", "site"])
    assert "Disabled" not in shown


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"OutputType": "float64"}, [{"Name": "score", "DataType": "float64"}]),
        ({}, [{"Name": "score", "DataType": ""}]),
    ],
)
def test_fields_are_the_first_output_unless_configured(settings: dict[str, Any], fields: list[Any]) -> None:
    """Old clients make the type of their answers of them."""
    config, interface = ctr(**settings)
    other = TensorSpec("other", SCORE.dtype, (None, 1))
    assert document(config, interface, SCORE, other)["Fields"] == fields


def test_a_datastore_without_a_cache_has_none_for_clients() -> None:
    """``null``: a client that made a local tier would keep what nobody asked it to."""
    config, interface = ctr(store={"ID": "d"})
    assert document(config, interface)["Cache"] is None


def configured_auxiliary(**settings: Any) -> dict[str, Any]:
    config, interface = configured({"ID": "m", "URL": "m", "DataStore": "ctrcache", **settings}, CTR_STORE)
    return document(config, interface)


def test_auxiliary_inputs_are_listed_by_the_model_s_own_members() -> None:
    """``KeyFields`` and ``Auxiliary`` as configured; ``KeyFields`` otherwise the model's inputs, by name."""
    shown = configured_auxiliary(Auxiliary=["session"])
    assert (shown["KeyFields"], shown["Auxiliary"]) == (["sa", "sl"], ["session"])
    shown = configured_auxiliary(KeyFields=["sa", "sl", "aux"])
    assert shown["KeyFields"] == ["sa", "sl", "aux"]
    assert "Auxiliary" not in shown


@pytest.mark.parametrize(
    ("shape", "serving", "expected"),
    [
        ((None, 1), Serving.ROWS, {}),
        ((None,), Serving.ROWS, {}),
        ((1, 8), Serving.ONE, {"Shape": [8]}),
        ((None, None, 3), Serving.ROWS, {"Shape": [-1, 3]}),
        (None, Serving.ROWS, {"Shape": None}),
        ((None, 1), Serving.WHOLE, {"Shape": [-1, 1]}),
    ],
)
def test_the_shape_of_an_output_that_is_not_one_value_a_row(
    shape: Shape | None, serving: Serving, expected: dict[str, Any]
) -> None:
    """Our own client makes arrays of answers by it."""
    config, face = ctr()
    other = Interface(face.inputs, face.outputs, serving, face.dict_hash)
    (output,) = document(config, other, TensorSpec("score", DType.FLOAT32, shape))["Outputs"]
    assert output == {"Name": "score", "Index": 0, "DataType": "float32", **expected}
