"""Environment variables fill scalars in, and never more than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.load import parse_config
from mlserve.config.schema import Config
from mlserve.errors import ConfigError


def load(text: str, environ: dict[str, str]) -> Config:
    return parse_config(text, place="c.yaml", environ=environ).config


def test_plain_scalars_are_typed_again_and_quoted_ones_stay_text() -> None:
    """``Port: ${PORT}`` would be text, or a quoted number would become one."""
    text = """\
Models:
- ID: m
  URL: ${A}/${B:-b}
  Inputs:
  - Name: x
    Default: ${N}
  - {Name: y, Default: "${N}"}
Endpoint:
  Port: ${N}
"""
    config = load(text, {"A": "a", "N": "12"})
    assert config.endpoint.port == 12
    assert config.models[0].url == "a/b"
    assert [item.default for item in config.models[0].inputs] == [12, "12"]


def test_an_empty_value_takes_the_default_or_leaves_the_key_out() -> None:
    """A variable that is set and empty would end the start, or make an empty host."""
    text = "Models:\n- ID: m\n  URL: m\n  DataStore: ${D}\nEndpoint:\n  Host: ${H:-0.0.0.0}\n  Port: ${P}"
    config = load(text, {"D": "", "H": "", "P": ""})
    assert (config.endpoint.host, config.endpoint.port, config.models[0].data_store) == ("0.0.0.0", 8080, None)


def test_escapes_keys_and_lone_dollars_stay() -> None:
    """There would be no way to write ``${``, or names of inputs would change."""
    text = "Models: [{ID: m, URL: 'a$${X}$b$$', Test: {Single: {'${X}': 1}}}]"
    model = load(text, {"X": "no"}).models[0]
    assert model.url == "a${X}$b$$"
    assert model.test is not None
    assert model.test.single == {"${X}": 1}


@pytest.mark.parametrize("reference", ["${", "${}", "${1A}", "${A:?b}", "${A", "${A:-${B}}", "${A B}"])
def test_malformed_references(reference: str) -> None:
    """A slip in a reference would be taken for text."""
    with pytest.raises(ConfigError) as caught:
        load(f"Models:\n- ID: m\n  URL: '{reference}'", {"A": "x", "B": "y"})
    assert str(caught.value).startswith("c.yaml:3: a ${ that is neither ${NAME} nor ${NAME:-default}")


def test_every_unset_variable_is_named_once() -> None:
    """A file with several of them would have to be started several times."""
    with pytest.raises(ConfigError) as caught:
        load("Models:\n- &m {ID: m, URL: '${A}${B}'}\n- *m\n- {ID: c, URL: '${A}'}", {})
    assert [(problem.place, problem.message.split()[3]) for problem in caught.value.problems] == [
        ("c.yaml:2", "A"),
        ("c.yaml:2", "B"),
        ("c.yaml:4", "A"),
    ]


@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_value_is_content_and_never_structure(value: str) -> None:
    """A variable could add keys, start a comment, refer to an anchor or be substituted again."""
    model = load("Models: [{ID: m, URL: x, Test: {Single: {a: \"${V}\", b: '<${V}>'}}}]", {"V": value}).models[0]
    assert model.test is not None
    assert model.test.single == {"a": value, "b": f"<{value}>"}
