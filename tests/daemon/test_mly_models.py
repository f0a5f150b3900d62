"""mly's own models, served by mlserve, give the values that mly gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.daemon import Daemon, running

MODELS = Path(__file__).parents[1] / "data" / "mly"
CONFIG = """
models:
  - {id: sli, url: MODELS/string_lookups_int_model}
  - {id: slf, url: MODELS/string_lookups_float_model}
  - {id: fli, url: MODELS/float_input_int_model}
  - {id: sli_keyed, url: MODELS/string_lookups_int_model, keyFields: [sa, sl, aux, kf]}
  - {id: slf_aux, url: MODELS/string_lookups_float_model,
     inputs: [{name: sa}, {name: sl}, {name: aux, auxiliary: true}]}
  - {id: fli_rounded, url: MODELS/float_input_int_model, inputs: [{name: fl, precision: 4}]}
  - {id: flinc, url: MODELS/float_input_int_model, useDict: false}
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = tmp_path_factory.mktemp("mly") / "config.yaml"
    config.write_text(CONFIG.replace("MODELS", str(MODELS)))
    with running(config) as daemon:
        yield daemon


def same(got: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(got) == len(expected) and all(map(same, got, expected))
    assert got.keys() == expected.keys()
    return all(
        math.isclose(got[name], value, rel_tol=1e-6) if isinstance(value, float) else got[name] == value
        for name, value in expected.items()
    )


def test_every_expected_value(daemon: Daemon) -> None:
    """Teams that move off mly would see other predictions."""
    cases = orjson.loads((MODELS / "expected.json").read_bytes())
    assert len(cases) > 30
    for case in cases:
        status, body = daemon.post(f"/v1/api/model/{case['model']}/eval", case["request"])
        assert status == 200, (case, body)
        assert same(body["data"], case["data"]), (case, body)


@pytest.mark.parametrize(
    ("model", "request_body", "data"),
    [
        ("sli_keyed", {"sa": "a", "sl": "a", "aux": "test", "kf": "k", "cache_key": "a/a/test/k"}, {"expand": 25}),
        ("slf_aux", {"sa": "a", "sl": "a", "aux": "aux", "cache_key": "a/a/"}, {"expand": 3.5714285}),
        (
            "slf_aux",
            {"batch_size": 2, "sa": ["a", "b"], "sl": ["b"], "aux": ["test"], "cache_key": ["a/b/", "b/b/"]},
            [{"expand": 2.857143}, {"expand": 2.2857144}],
        ),
        ("fli_rounded", {"fl": 1.00054, "sl": "a"}, {"expand": 3.1436427}),
        ("fli_rounded", {"fl": 1.20001, "sl": "a"}, {"expand": 3.4571428}),
        ("fli", {"fl": 1.00054, "sl": "a"}, {"expand": 3.1437056}),
        ("flinc", {"fl": 1.2, "sl": "a", "cache_key": "/"}, {"expand": 3.4571428}),
    ],
)
def test_worked_examples(daemon: Daemon, model: str, request_body: dict[str, Any], data: Any) -> None:
    """Requests as mly's clients write them, auxiliary inputs and keys included."""
    status, body = daemon.post(f"/v1/api/model/{model}/eval", request_body)
    assert status == 200, body
    assert same(body["data"], data)


def test_hashes_and_refusals(daemon: Daemon) -> None:
    """``dictHash`` is a number that clients compare, and left out without a dictionary; bad requests run nothing."""
    assert isinstance(daemon.post("/v1/api/model/sli/eval", {"sa": "a", "sl": "a"})[1]["dictHash"], int)
    assert "dictHash" not in daemon.post("/v1/api/model/flinc/eval", {"fl": 1.2, "sl": "a"})[1]
    complete = {"sa": "a", "sl": "a", "aux": "t", "kf": "k"}
    missing = {name: value for name, value in complete.items() if name != "kf"}
    for bad in (missing, complete | {"extra": 1}, complete | {"sa": 1}):
        assert daemon.post("/v1/api/model/sli_keyed/eval", bad)[0] == 400
    text = daemon.post("/v1/api/model/sli_keyed/eval", missing)[1]["error"]
    assert "failed to build request due to missing fields: [kf]" in str(text)
    assert daemon.get("/v1/api/health")[1]["sli"] == 1
