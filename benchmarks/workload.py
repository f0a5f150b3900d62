"""The models that are asked, and what they are asked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from benchmarks.process import PENGUINS
from tests.support.versions import write_version

TINY = "/v1/api/model/tiny/eval"
CACHED = "/v1/api/model/cached/eval"
ASKED = "/v1/api/model/penguins/eval"
PENGUIN: dict[str, Any] = {
    "island": "Dream",
    "sex": "male",
    "bill_length_mm": 40.1,
    "bill_depth_mm": 18.5,
    "flipper_length_mm": 190,
    "body_mass_g": 3800,
}


def penguins_config(folder: Path) -> Path:
    """A configuration with one ONNX model, the example's classifier of strings and numbers."""
    config = folder / "penguins.yaml"
    config.write_text(f"Models: [{{ID: penguins, URL: '{PENGUINS}'}}]\n", encoding="utf-8")
    return config


def http_config(folder: Path) -> Path:
    """The classifier, and a model that only adds (what is left of it is serving), with a cache and without."""
    write_version(folder / "tiny.onnx", 1)
    config = folder / "http.yaml"
    config.write_text(
        f"Models: [{{ID: tiny, URL: tiny.onnx}}, {{ID: cached, URL: tiny.onnx, DataStore: memory}},\n"
        f"  {{ID: penguins, URL: '{PENGUINS}'}}]\n"
        "Datastores: [{ID: memory, Cache: {SizeMB: 16}}]\n",
        encoding="utf-8",
    )
    return config


def penguin_query() -> str:
    """The target of a GET for one row."""
    return f"{ASKED}?{urlencode(PENGUIN)}"


def penguin_columns(count: int) -> dict[str, list[Any]]:
    """``count`` different rows, as columns."""
    source = random.Random(1)
    rows = [
        {
            "island": source.choice(["Dream", "Biscoe", "Torgersen"]),
            "sex": source.choice(["male", "female"]),
            "bill_length_mm": round(source.uniform(32, 60), 2),
            "bill_depth_mm": round(source.uniform(13, 22), 2),
            "flipper_length_mm": source.randrange(170, 232),
            "body_mass_g": source.randrange(2700, 6300),
        }
        for _ in range(count)
    ]
    return {name: [row[name] for row in rows] for name in PENGUIN}


def body(values: dict[str, Any]) -> bytes:
    """A POST's JSON."""
    return orjson.dumps(values)
