"""The line to try: pasted into a shell, it must ask for just that row and do nothing else."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.schema import ModelConfig
from mlserve.daemon.hint import example_command
from mlserve.serving.deployment import Deployment, Origin
from mlserve.types import DType, InputField
from tests.support.deployments import deployment, interface

BASE = "http://127.0.0.1:8086"
EVAL = f"{BASE}/v1/api/model/m/eval"


async def deployed(*fields: InputField, single: dict[str, Any] | None = None) -> Deployment:
    made = deployment(face=interface(*fields))
    test = {"Test": {"Single": single}} if single is not None else {}
    made.origin = Origin(ModelConfig.model_validate({"ID": "m", "URL": "m", **test}), ())
    return made


X = InputField("x", DType.FLOAT32, ())
S = InputField("s", DType.STRING, ())
V = InputField("v", DType.FLOAT32, (None,))


async def test_scalars_go_into_the_query() -> None:
    """The shortest line that works, and the configured row, which the model is known to take."""
    made = await deployed(X, S, single={"x": 1.5, "s": "a b&c"})
    assert example_command(BASE, made) == f"curl '{EVAL}?x=1.5&s=a+b%26c'"


async def test_booleans_are_written_as_the_query_reads_them() -> None:
    """Python's ``True`` is no JSON."""
    made = await deployed(InputField("b", DType.BOOL, ()), single={"b": True})
    assert example_command(BASE, made) == f"curl '{EVAL}?b=true'"


async def test_made_up_values_where_nothing_is_configured() -> None:
    """The line is there for every model."""
    (command, url) = shlex.split(example_command(BASE, await deployed(X, S)))
    query = parse_qs(urlsplit(url).query)
    assert command == "curl"
    assert 0 <= float(query["x"][0]) < 1
    assert query["s"][0].startswith("test-")


async def test_lists_go_into_the_body() -> None:
    """A vector in a query is possible, and unreadable."""
    made = await deployed(X, V, single={"x": 1, "v": [1, 2]})
    assert example_command(BASE, made) == f"""curl -d '{{"x":1,"v":[1,2]}}' {EVAL}"""


async def test_a_missing_value_goes_into_the_body() -> None:
    """``None`` in a query would be text."""
    made = await deployed(X, InputField("n", DType.FLOAT32, (), default=0.0), single={"x": 1, "n": None})
    assert example_command(BASE, made) == f"""curl -d '{{"x":1,"n":null}}' {EVAL}"""


async def test_a_long_row_is_left_to_a_file() -> None:
    """An image of 784 numbers would fill the screen."""
    made = await deployed(InputField("v", DType.FLOAT32, (784,)))
    assert example_command(BASE, made) == f"curl -d @row.json {EVAL}"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(text=TEXT, as_list=st.booleans())
async def test_whatever_the_text_the_shell_sees_one_word(text: str, as_list: bool) -> None:
    """A quote in a test row must not end the quoting, nor run anything."""
    made = await deployed(S, V, single={"s": text, "v": [1]}) if as_list else await deployed(S, single={"s": text})
    words = shlex.split(example_command(BASE, made))
    if as_list:
        assert words[:2] == ["curl", "-d"]
        assert json.loads(words[2])["s"] == text
        assert words[3:] == [EVAL]
    else:
        assert len(words) == 2
        assert parse_qs(urlsplit(words[1]).query, keep_blank_values=True) == {"s": [text]}


async def test_bytes_that_are_not_utf8() -> None:
    """A start must not fail over its last line."""
    made = await deployed(S, single={"s": "a\udcff"})
    assert example_command(BASE, made) == f"curl '{EVAL}?s=a%FF'"
