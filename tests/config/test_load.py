"""What a bad configuration is told, word for word, and what a good one means."""

from __future__ import annotations

import math
import os
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.config.load import LoadedConfig, load_config, parse_config
from mlserve.errors import ConfigError

GOOD = "Models: [{ID: a, URL: m.onnx}]\n"
CONNECTIONS = "Connections: [{ID: l1, Hostnames: h}, {ID: r, URL: 'redis://h'}]\n"


def load(text: str, **environ: str) -> LoadedConfig:
    return parse_config(text, place="c.yaml", environ=environ)


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.yaml: the file is empty; it needs at least Models: [{ID: …, URL: …}]"),
        ("# nothing yet\n---\n", "c.yaml: the file is empty; it needs at least Models: [{ID: …, URL: …}]"),
        (
            "Endpoint: {Port: 1}",
            (
                "c.yaml:1: Models: a configuration needs at least one model: "
                "Models: [{ID: name, URL: where the model lies}]"
            ),
        ),
        (
            "Endpoint: {}\nModels: []",
            (
                "c.yaml:2: Models: a configuration needs at least one model: "
                "Models: [{ID: name, URL: where the model lies}]"
            ),
        ),
        (
            "- a\n- b",
            "c.yaml:1: expected a mapping with keys such as Models, Connections, Datastores, got a list",
        ),
        ("Models:\n - ID: a\n   URL: b\n   Urk: c", "c.yaml:4: Models[0].Urk: unknown key; did you mean URL?"),
        (GOOD + "Endpoint: {max_rows: 5}", "c.yaml:2: Endpoint.max_rows: unknown key; did you mean MaxRows?"),
        (GOOD + "Metrics: {Zzz: 1}", "c.yaml:2: Metrics.Zzz: unknown key; there are: Prometheus"),
        (
            "Models:\n - ID: a\n   url: b\n   URL: c",
            "c.yaml:4: Models[0].URL: the key URL is given twice, first in line 3 (as url)",
        ),
        (GOOD + GOOD, "c.yaml:2: Models: the key Models is given twice, first in line 1"),
        (
            "Models: [{ID: a, URL: m, PollInterval: 5, ReloadPollIntervalSeconds: 5}]",
            (
                "c.yaml:1: Models[0].PollInterval: the key ReloadPollIntervalSeconds is given twice, "
                "first in line 1 (as PollInterval)"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, Test: {Single: {x: 1,\n x: 2}}}]",
            "c.yaml:2: Models[0].Test.Single.x: the key x is given twice, first in line 1",
        ),
        ("Models: [{ID: a}]", "c.yaml:1: Models[0].URL: is missing"),
        ("Models:\n- ID: a\n  URL:", "c.yaml:3: Models[0].URL: is missing: its value is empty"),
        ("Models: [{ID: a, URL: ''}]", "c.yaml:1: Models[0].URL: may not be empty"),
        (
            "Models: [{ID: a b, URL: m}]",
            (
                "c.yaml:1: Models[0].ID: expected up to 128 letters, digits, dots, dashes and underscores, "
                "a letter or digit first, got a b"
            ),
        ),
        ("Models: {ID: a}", "c.yaml:1: Models: expected a list, got a mapping"),
        (
            "Models: [7]",
            "c.yaml:1: Models[0]: expected a mapping with keys such as ID, Debug, Location, got the number 7",
        ),
        (
            "Models: [{ID: a, URL: m, Tags: serve}]",
            "c.yaml:1: Models[0].Tags: expected a list, got the text serve; write [serve]",
        ),
        ("Models: [{ID: a, URL: m, Tags: [~]}]", "c.yaml:1: Models[0].Tags[0]: expected text, got nothing"),
        (GOOD + "Endpoint: {Port: x}", "c.yaml:2: Endpoint.Port: expected a whole number, got the text x"),
        (GOOD + "Endpoint: {Port: 1.5}", "c.yaml:2: Endpoint.Port: expected a whole number, got the number 1.5"),
        (
            GOOD + 'Endpoint: {Port: "8086"}',
            (
                "c.yaml:2: Endpoint.Port: expected a whole number, got the text 8086; "
                "remove the quotes to make it a number"
            ),
        ),
        (GOOD + "Endpoint: {Port: 70000}", "c.yaml:2: Endpoint.Port: expected at most 65535, got 70000"),
        (GOOD + "Endpoint: {MaxRows: -1}", "c.yaml:2: Endpoint.MaxRows: expected at least 1, got -1"),
        (
            GOOD + "Endpoint: {ReadTimeoutMs: -5ms}",
            "c.yaml:2: Endpoint.ReadTimeoutMs: expected more than 0 seconds, got -5ms",
        ),
        (
            GOOD + "Endpoint: {ReadTimeoutMs: soon}",
            (
                "c.yaml:2: Endpoint.ReadTimeoutMs: expected a duration such as 500us, 2ms, 15s, 10m, "
                "or a number of milliseconds, got soon"
            ),
        ),
        (
            GOOD + "Endpoint: {ReadTimeoutMs: 1e300}",
            "c.yaml:2: Endpoint.ReadTimeoutMs: expected a duration of less than 100 years, got 1e300",
        ),
        (
            GOOD + "Endpoint: {ReadTimeoutMs: [1]}",
            "c.yaml:2: Endpoint.ReadTimeoutMs: expected a duration such as 2ms or 15m, got a list",
        ),
        (
            GOOD + "Endpoint: {AccessLog: some}",
            "c.yaml:2: Endpoint.AccessLog: expected one of off, sampled, all, got the text some",
        ),
        (
            GOOD + "Endpoint: {ClientCacheControl: 1}",
            "c.yaml:2: Endpoint.ClientCacheControl: expected true or false, got the number 1",
        ),
        (
            "Models: [{ID: NO, URL: m}]",
            "c.yaml:1: Models[0].ID: expected text, got NO, which YAML reads as a boolean; quote it: 'NO'",
        ),
        (
            "Models: [{ID: a, URL: m, Test: {Single: {country: NO}}}]",
            (
                "c.yaml:1: Models[0].Test.Single.country: NO is a boolean in YAML 1.1: "
                "quote it ('NO') for text, or write false"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, Test: {Single: {zip: 010}}}]",
            (
                "c.yaml:1: Models[0].Test.Single.zip: 010 has a leading zero, which is octal in YAML 1.1: "
                "quote it ('010') for text, or drop the zero"
            ),
        ),
        (
            "Models: [{ID: a, URL: m},\n {ID: a, URL: m}]",
            "c.yaml:2: Models[1].ID: a is already the ID of Models[0]",
        ),
        (
            GOOD + "Datastores: [{ID: d}, {ID: d}]",
            "c.yaml:2: Datastores[1].ID: d is already the ID of Datastores[0]",
        ),
        (
            GOOD + "Connections: [{ID: d, URL: 'lmdb:x'}, {ID: d, URL: 'lmdb:y'}]",
            "c.yaml:2: Connections[1].ID: d is already the ID of Connections[0]",
        ),
        (
            "Models: [{ID: a, URL: m, DataStore: hto}]\nDatastores: [{ID: hot}]",
            "c.yaml:1: Models[0].DataStore: no datastore hto; did you mean hot?",
        ),
        (
            "Models: [{ID: a, URL: m, DataStore: hot}]",
            "c.yaml:1: Models[0].DataStore: no datastore hot: there are no Datastores",
        ),
        (
            GOOD + CONNECTIONS + "Datastores: [{ID: d, Connection: zzz}]",
            "c.yaml:3: Datastores[0].Connection: no connection zzz; there are: l1, r",
        ),
        (
            GOOD + CONNECTIONS + "Datastores: [{ID: d, L2: {Connection: R}}]",
            "c.yaml:3: Datastores[0].L2.Connection: no connection R; did you mean r?",
        ),
        (
            GOOD + "Datastores: [{ID: d, L2: {}}]",
            "c.yaml:2: Datastores[0].L2.Connection: is missing: L2 is a tier behind a connection",
        ),
        (
            GOOD + CONNECTIONS + "Datastores: [{ID: d, Connection: l1, Namespace: n}]",
            (
                "c.yaml:3: Datastores[0].Dataset: is missing: clients of mly find records in l1 (Aerospike) by it; "
                "Layout: native needs none"
            ),
        ),
        (
            GOOD + CONNECTIONS + "Datastores: [{ID: d, Connection: l1, Layout: native}]",
            (
                "c.yaml:3: Datastores[0].Namespace: is missing: what is in l1 (Aerospike) is in a namespace; "
                "its URL may end with /name"
            ),
        ),
        (
            GOOD + "Connections: [{ID: a, URL: 'AEROSPIKE://h'}]\nDatastores: [{ID: d, L2: {Connection: a}}]",
            (
                "c.yaml:3: Datastores[0].L2.Namespace: is missing: what is in a (Aerospike) is in a namespace; "
                "its URL may end with /name"
            ),
        ),
        (
            GOOD + CONNECTIONS + "Datastores: [{ID: d, Connection: r, Layout: mly}]",
            "c.yaml:3: Datastores[0].Layout: mly is a layout of Aerospike, and the connection r is not one",
        ),
        (
            GOOD + "Connections: [{ID: c}]",
            "c.yaml:2: Connections[0]: give one of URL (redis://, aerospike://, lmdb:) and Hostnames",
        ),
        (
            GOOD + "Connections: [{ID: c, URL: cache}]",
            (
                "c.yaml:2: Connections[0].URL: expected a URL such as redis://host:6379/0, aerospike://host:3000 "
                "or lmdb:./dir"
            ),
        ),
        (
            GOOD + "Connections: [{ID: c, URL: 'redis://h', Port: 6380}]",
            "c.yaml:2: Connections[0].Port: goes with Hostnames; here it belongs into the URL",
        ),
        (
            GOOD + "Connections: [{ID: c, URL: 'redis://:my pass@h'}]",
            "c.yaml:2: Connections[0].URL: white space in a URL: write %20 for a blank",
        ),
        (
            GOOD + "Connections: [{ID: c, Hostnames: h, Timeout: never}]",
            (
                "c.yaml:2: Connections[0].Timeout: expected a duration such as 500us, 2ms, 15s, 10m, "
                "or a number of milliseconds, got never"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, Transformer: slft}]",
            (
                "c.yaml:1: Models[0].Transformer: expected module:function or file.py:function; "
                "Go transformers, known by a name, have to be ported"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, Backend: onx}]",
            "c.yaml:1: Models[0].Backend: no backend onx; did you mean onnx?",
        ),
        (
            "Models: [{ID: a, URL: m, Backend: 'python:nothing'}]",
            "c.yaml:1: Models[0].Backend: expected python:module:Class or python:file.py:Class",
        ),
        (
            "Models: [{ID: a, URL: 'python:model.py'}]",
            "c.yaml:1: Models[0].URL: expected python:module:Class or python:file.py:Class",
        ),
        (
            "Models: [{ID: a, URL: models/scorer.py}]",
            "c.yaml:1: Models[0].URL: a Python file serves by one of its classes: expected python:file.py:Class",
        ),
        (
            "Models: [{ID: a, URL: 'scorer.py:Scorer'}]",
            "c.yaml:1: Models[0].URL: a Python file serves by one of its classes: expected python:file.py:Class",
        ),
        (
            "Models: [{ID: a, URL: m, Providers: [cuda:0, cpu], ProviderOptions: {cuda: {x: 1}}}]",
            "c.yaml:1: Models[0].ProviderOptions.cuda: is not one of Providers: cuda:0, cpu",
        ),
        (
            "Models: [{ID: a, URL: m, Providers: [cuda], ProviderOptions: {cuda: {device_id: 1}}}]",
            "c.yaml:1: Models[0].ProviderOptions.cuda.device_id: is said by the name of the device: cuda:1",
        ),
        (
            "Models: [{ID: a, URL: m, ProviderOptions: {cpu: [x]}}]",
            (
                "c.yaml:1: Models[0].ProviderOptions.cpu: expected a mapping of the runtime's options, "
                "such as {gpu_mem_limit: 4294967296}"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, ProviderOptions: {cpu: {x: [1]}}}]",
            "c.yaml:1: Models[0].ProviderOptions.cpu.x: expected text, a number or a boolean",
        ),
        (
            "Models: [{ID: a, URL: m, Platform: triton}]",
            "c.yaml:1: Models[0].Platform: triton is not supported: give the model's own URL and leave Platform out",
        ),
        (
            "Models: [{ID: a, URL: m, Platform: tensorflow, Backend: onnx}]",
            "c.yaml:1: Models[0].Platform: contradicts Backend: onnx; leave Platform out",
        ),
        (
            "Models: [{ID: a, URL: m, Mode: router}]",
            (
                "c.yaml:1: Models[0].Mode: router is not supported: give each model its own entry "
                "and let the caller choose"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, Inputs: [x, {Name: x}]}]",
            "c.yaml:1: Models[0].Inputs[1].Name: x is already the name of Inputs[0]",
        ),
        ("Models: [{ID: a, URL: m, KeyFields: [x, x]}]", "c.yaml:1: Models[0].KeyFields[1]: x is given twice"),
        ("Models: [{ID: a, URL: m, Outputs: [x, x]}]", "c.yaml:1: Models[0].Outputs[1].Name: x is given twice"),
        (
            "Models: [{ID: a, URL: m, Inputs: [{Name: x, DataType: flaot}]}]",
            "c.yaml:1: Models[0].Inputs[0].DataType: no data type flaot; did you mean float?",
        ),
        (
            "Models: [{ID: a, URL: m, Inputs: [{Name: x, Precision: 0}]}]",
            "c.yaml:1: Models[0].Inputs[0].Precision: expected at least 1, got 0",
        ),
        (
            "Models: [{ID: a, URL: m, Inputs: [{Name: x, DataType: string, Precision: 2}]}]",
            "c.yaml:1: Models[0].Inputs[0].Precision: is for floats, and DataType is string",
        ),
        (
            "Models: [{ID: a, URL: m, Inputs: [{Name: x, Auxiliary: true, Precision: 2}]}]",
            (
                "c.yaml:1: Models[0].Inputs[0].Precision: an auxiliary input is text unless DataType says float; "
                "Precision is for floats"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, Inputs: [{Name: x, Wildcard: true, Precision: 2}]}]",
            (
                "c.yaml:1: Models[0].Inputs[0].Precision: contradicts Wildcard: true, which puts the exact value "
                "into the key; give one of them"
            ),
        ),
        (
            "Models: [{ID: a, URL: m, Test: {Test: true, Expect: {y: 1}}}]",
            "c.yaml:1: Models[0].Test.Expect: needs Single or Batch: without given inputs no output can be foretold",
        ),
        (
            "Models: [{ID: a, URL: m, Test: {Batch: {x: 1}}}]",
            "c.yaml:1: Models[0].Test.Batch.x: expected a list with one value per row",
        ),
        (
            "Models: [{ID: a, URL: m, Test: {Batch: {x: [1, 2], y: [1, 2, 3], z: [1]}}}]",
            "c.yaml:1: Models[0].Test.Batch.x: has 2 values, others have 3; give one for all, or one per row",
        ),
        (
            GOOD + "AllowedSubnet: [10.0.0.0/8, everyone]",
            (
                "c.yaml:2: AllowedSubnet[1]: expected an address, a CIDR block such as 10.0.0.0/8, "
                "or whole octets such as 10.1."
            ),
        ),
        (GOOD + "TLS: {CertFile: a}", "c.yaml:2: TLS.KeyFile: is missing"),
        (
            "Models: [{ID: a, URL: '${NOWHERE}'}]",
            "c.yaml:1: the environment variable NOWHERE is not set; set it, or write ${NOWHERE:-default}",
        ),
        (
            "Models: [{ID: a, URL: m}\nEndpoint: {}",
            (
                "c.yaml:2:1: not valid YAML: while parsing a flow sequence that begins in line 1: "
                "expected ',' or ']', but got '<scalar>'"
            ),
        ),
    ],
)
def test_one_problem(text: str, expected: str) -> None:
    """An operator would be told something else, or at another line, about this mistake."""
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "Connections: [{ID: c, URL: 'aerospike://h:3000/ns'}]\nDatastores: [{ID: d, Connection: c}]",
        "Connections: [{ID: c, Hostnames: h}]\nDatastores: [{ID: d, Connection: c, Namespace: n, Layout: native}]",
        "Connections: [{ID: c, URL: 'aerospike://h/ns'}]\nDatastores: [{ID: d, L2: {Connection: c, Dataset: s}}]",
        "Connections: [{ID: c, URL: 'LMDB:./cache'}]\nDatastores: [{ID: d, Connection: c}]",
    ],
)
def test_tiers_that_say_all_that_their_store_needs(text: str) -> None:
    """Nobody would be asked for a namespace twice, or for a set that no client looks for."""
    assert load(GOOD + text).config.datastores


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    """A file with several mistakes would have to be mended one start at a time."""
    text = """\
Endpoint: {Port: 99999, Prot: 1}
Models:
  - ID: a
    URL: m
    DataStore: hto
    Inputs: [{Name: x, Precision: 12}, {Nmae: y}]
  - {ID: a, URL: [m]}
Datastores: [{ID: hot}]
"""
    assert problems(text) == [
        "c.yaml:1: Endpoint.Prot: unknown key; did you mean Port?",
        "c.yaml:1: Endpoint.Port: expected at most 65535, got 99999",
        "c.yaml:6: Models[0].Inputs[1].Nmae: unknown key; did you mean Name?",
        "c.yaml:6: Models[0].Inputs[0].Precision: expected at most 9, got 12",
        "c.yaml:6: Models[0].Inputs[1].Name: is missing",
        "c.yaml:7: Models[1].URL: expected text, got a list",
    ]
    assert problems("Endpoint: {Port: 99999}\nModels: [{ID: a, URL: m, DataStore: x}]\nTSL: 1") == [
        "c.yaml:1: Endpoint.Port: expected at most 65535, got 99999",
        "c.yaml:2: Models[0].DataStore: no datastore x: there are no Datastores",
        "c.yaml:3: TSL: unknown key; did you mean TLS?",
    ]


def test_a_refused_list_does_not_make_references_into_it_wrong() -> None:
    """One mistake would be reported as two."""
    assert problems("Models: [{ID: a, URL: m, DataStore: d}]\nDatastores: 5") == [
        "c.yaml:2: Datastores: expected a list, got the number 5"
    ]


def test_scalars_are_taken_for_what_the_member_wants() -> None:
    """mly's configurations, with bare numbers for text and booleans of YAML 1.1, would change their meaning."""
    model = load(
        "Models: [{ID: 123, URL: 1e5, CacheVersion: 010, Debug: yes, Tags: [1.50, null_model]}]"
    ).config.models[0]
    assert (model.id, model.url, model.cache_version, model.debug) == ("123", "1e5", "010", True)
    assert model.tags == ("1.50", "null_model")
    assert load(GOOD + "Endpoint: {AccessLog: off}").config.endpoint.access_log == "off"


def test_null_and_mlys_zero_leave_the_default() -> None:
    """A key with nothing after it, or Go's zero value, would be an error or a timeout of 0."""
    config = load(GOOD + "Endpoint: {Port: , WriteTimeoutMs: 0}\nDatastores: [{ID: d, TimeToLiveMs: 0}]").config
    assert config.endpoint.port == 8080
    assert config.endpoint.request_timeout.total_seconds() == 5
    assert config.datastores[0].time_to_live_ms.total_seconds() == 900


def test_defaults_of_inputs() -> None:
    """NaN, an empty text and "no default" would be taken for one another."""
    text = "x, {Name: f, Default: .nan}, {Name: s, Default: ''}, {Name: n, Default: ~}"
    inputs = load(f"Models: [{{ID: a, URL: m, Inputs: [{text}]}}]").config.models[0].inputs
    assert [item.has_default for item in inputs] == [False, True, True, False]
    assert isinstance(inputs[1].default, float)
    assert math.isnan(inputs[1].default)
    assert inputs[2].default == ""


def test_names_of_inputs_and_outputs_keep_their_case() -> None:
    """Two inputs that differ by case would collide, or a name such as ``on`` would become a boolean."""
    text = "{Single: {Age: 1, age: 2, on: 3, 4: x}, expect: {Score: 0.5}, Tolerance: 1e-3}"
    test = load(f"Models: [{{ID: a, URL: m, Test: {text}}}]").config.models[0].test
    assert test is not None
    assert test.single == {"Age": 1, "age": 2, "on": 3, "4": "x"}
    assert (test.expect, test.tolerance) == ({"Score": 0.5}, 1e-3)


def test_anchors_and_merge_keys() -> None:
    """Configurations that share settings by YAML's own means would be refused, or explicit keys lose to shared ones."""
    models = load(
        "Models:\n- &base {ID: a, url: m, Tags: [x]}\n- {<<: *base, ID: b}\n"
        "- {<<: [{Required: false}, *base], id: c, URL: n}"
    ).config.models
    assert [(model.id, model.url, model.tags, model.required) for model in models] == [
        ("a", "m", ("x",), True),
        ("b", "m", ("x",), True),
        ("c", "n", ("x",), False),
    ]


def test_the_environment_never_shows_in_a_problem() -> None:
    """A secret from the environment would stand in a log because it sat in the wrong place."""
    lines = problems(
        "Models: [{ID: '${S}', URL: m, PollInterval: '${S}', Tags: '${S}', Test: {Single: {x: '${S}', x: 1}}}]\n"
        "Endpoint: {Port: '${S}', AccessLog: '${S}', Host: '${B}', MaxRows: '${B}'}",
        S="s3 cret!",
        B="yes",
    )
    assert len(lines) >= 7
    assert "cret" not in "\n".join(lines)


def test_secrets_in_the_file_do_not_show_in_a_problem() -> None:
    """A password in a URL would stand in a log because the URL sat in the wrong place."""
    lines = problems(
        "Models: [{ID: 'redis://u:hunter2@h', URL: m, Tags: 'https://h/?token=hunter2'}]\n"
        "Endpoint: {Port: 'redis://:hunter 2@h'}"
    )
    assert len(lines) == 3
    assert "hunter" not in "\n".join(lines)


def test_bytes_of_the_environment_that_are_no_text() -> None:
    """A variable in another encoding would pass, and break whatever prints the URL."""
    assert problems("Models: [{ID: m, URL: '${X}'}]", X="caf\udce9") == [
        "c.yaml:1: Models[0].URL: expected UTF-8 text, got ${X}"
    ]


def test_digest_follows_meaning() -> None:
    """A comment would cause a reload, or a changed default value would not."""
    one = load("Models: [{ID: a, URL: m, Inputs: [{Name: x, Default: .nan}]}]")
    same = load("# hello\nmodels: [{url: m, id: a, inputs: [{name: x, default: .NaN}]}]\nendpoint: {}")
    other = load("Models: [{ID: a, URL: m, Inputs: [{Name: x, Default: .inf}]}]")
    assert one.digest == same.digest != other.digest


def test_notices_once_each_with_the_number_of_places() -> None:
    """Fifty models with one useless key would print fifty lines."""
    models = ["{ID: a, URL: m, Debug: true}", "{ID: b, URL: m, debug: true}", "{ID: c, URL: m, DEBUG: no}"]
    notices = load("Models:\n- " + "\n- ".join(models)).notices
    assert [str(notice) for notice in notices] == [
        (
            "c.yaml:2: Models[0].Debug: has no effect here: "
            "what is logged is set by --log-level and Endpoint.AccessLog (and in 2 more places)"
        )
    ]


def test_from_a_file(tmp_path: Path) -> None:
    """Relative URLs would not resolve against the file's folder, or a byte order mark would break the first key."""
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    loaded = load_config(str(file))
    assert (loaded.url, loaded.base) == (str(file), str(tmp_path))
    assert load_config(f"file://{file}").config == loaded.config
    assert load_config(os.path.relpath(file)).base == str(tmp_path)


def test_from_memory_by_both_of_its_names() -> None:
    """Configurations in any fsspec store, or under mly's ``mem://``, could not be read, or a stale one would be."""
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/conf/c.yaml", GOOD.encode())
    try:
        loaded = load_config("memory://conf/c.yaml")
        assert loaded.base == "memory://conf"
        filesystem.pipe("/conf/c.yaml", b"Models: [{ID: b, URL: m}]")
        assert load_config("mem://conf/c.yaml").config.models[0].id == "b"
    finally:
        filesystem.rm("/conf", recursive=True)


def test_unreadable_files(tmp_path: Path) -> None:
    """A wrong ``-c`` would end in a traceback, fill the memory, or show a token."""
    big, binary = tmp_path / "big.yaml", tmp_path / "binary.yaml"
    big.write_bytes(b"#" * (4 * 1024**2 + 1))
    binary.write_bytes(b"a: 1\nb: \xff\xfe")
    for url, expected in {
        str(tmp_path / "no.yaml"): "no.yaml: there is no such file",
        str(tmp_path): ": this is a folder; name the YAML file in it",
        str(big): "big.yaml: the file is larger than 4 MiB",
        str(binary): "binary.yaml:2: not UTF-8 text",
        "memory://none.yaml": "memory://none.yaml: there is no such file, or it cannot be reached",
        "foo://x?token=abc": "foo://x?token=***: cannot be read: ValueError: Protocol not known: foo",
    }.items():
        with pytest.raises(ConfigError) as caught:
            load_config(url)
        assert str(caught.value).endswith(expected)


_WORDS = st.sampled_from(
    ['Models', 'ID', 'URL', 'Inputs', 'Name', 'Test', 'Single', 'Port', 'a', '1', '-1',
     '1e999', 'no', '010', '~', '.nan', '${A}', '${B:-x}', '$${', '*x', '<<', '2ms', '0x_', 'é',
     '&x a', '!!str 1', '!!set {}', "'q", '\t']
)  # fmt: skip
_TREES = st.recursive(
    _WORDS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]")
        | st.lists(st.tuples(_WORDS, inner), max_size=4).map(
            lambda pairs: f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}"
        )
    ),
    max_leaves=20,
)


@given(text=st.text() | _TREES | _TREES.map(lambda tree: GOOD + f"Endpoint: {tree}"))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    """Some text would end the start, or a reload, in a traceback."""
    try:
        places = [notice.place for notice in load(text, A="1").notices]
    except ConfigError as error:
        places = [problem.place for problem in error.problems] or ["an error without a problem"]
    assert all(place.startswith("c.yaml") for place in places)


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_case_of_our_names_means_nothing(data: st.DataObject) -> None:
    """A key would be known in one spelling and unknown in another."""
    names = ["Models", "ID", "URL", "Inputs", "Name", "Precision", "Test", "Single", "Endpoint", "MaxRows", "DataStore"]
    text = (
        "{Models}: [{{{ID}: a, {URL}: m, {DataStore}: d, {Inputs}: [{{{Name}: X, {Precision}: 2}}], "
        "{Test}: {{{Single}: {{X: 1}}}}}}]\n{Endpoint}: {{{MaxRows}: 5}}\nDatastores: [{{{ID}: d}}]"
    )
    spelt = {
        name: "".join(data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name) for name in names
    }
    plain = load(text.format(**{name: name for name in names}))
    assert load(text.format(**spelt)).digest == plain.digest
