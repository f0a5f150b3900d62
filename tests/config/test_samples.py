"""Every configuration that mly's documentation shows loads here unchanged and means the same."""

from __future__ import annotations

from datetime import timedelta

from mlserve.config.load import LoadedConfig, parse_config

CTR = """\
models:
  - id: ctr
    url: file:///models/ctr
    datastore: ctrcache
    inputs: [{name: price, precision: 2}]
datastores:
  - {id: ctrcache, cache: {sizeMb: 64}}
"""

EXPECTED_VALUES = """\
endpoint: {port: 8086}
models:
  - {id: sli, url: shared/models/mly/string_lookups_int_model,   datastore: sli, keyFields: [sa, sl, aux, kf]}
  - {id: slf, url: shared/models/mly/string_lookups_float_model, datastore: slf,
     inputs: [{name: sa}, {name: sl}, {name: aux, auxiliary: true}]}
  - {id: fli, url: shared/models/mly/float_input_int_model,      datastore: fli, inputs: [{name: fl, precision: 4}]}
  - {id: flinc, url: shared/models/mly/float_input_int_model,    useDict: false}
connections:
  - {id: l1, hostnames: 127.0.0.1, port: 3000}
datastores:
  - {id: sli, connection: l1, namespace: test, dataset: sli, timeToLiveMs: 30000}
  - {id: slf, connection: l1, namespace: test, dataset: slf, timeToLiveMs: 30000}
  - {id: fli, connection: l1, namespace: test, dataset: fli, timeToLiveMs: 30000}
"""

CONTRACT = """\
Endpoint: {Host: 127.0.0.1, Port: 8086}
Models:
  - ID: penguins
    URL: examples/models/penguins.onnx        # relative to this file; any fsspec URL; backend found from what is there
    DataStore: hot
    Batch: {MaxBatchSize: 64}
    Inputs: [{Name: bill_length_mm, Precision: 1}]
    Test: {Single: {island: Dream, bill_length_mm: 40.1}}
Datastores:
  - ID: hot
    Cache: {SizeMB: 64}
    Connection: shared                          # L1
    TimeToLiveMs: 900000
    L2: {Connection: disk, TimeToLiveMs: 86400000}
Connections:
  - {ID: shared, URL: "redis://127.0.0.1:6379/0"}
  - {ID: disk, URL: "lmdb:./cache"}
"""

MIXED_SPELLINGS = """\
Endpoint:
  Port: 8086

models:
  - id: sli
    url: ${appPath}/example/model/string_lookups_int_model
    useDict: true
    debug: false
    datastore: sli
    keyfields: [sa, sl]
    test:
      test: true

  - id: slow
    url: ${appPath}/example/model/slow_model
    useDict: false
    test:
      singleBatch: true

connections:
  - id: localL1
    hostnames: localhost
    port: 3000
    timeout: 300

datastores:
  - id: sli
    connection: localL1
    namespace: test
    dataset: sli
    timeToLiveMs: 30000
"""

EVERY_KEY = """\
Models:
  - ID: m
    URL: s3://bucket/m
    Debug: true
    Location: /tmp/m
    Dir: sub
    Tags: [serve, gpu]
    UseDict: true
    DictURL: s3://bucket/dict.json.gz
    OutputType: float32
    Auxiliary: [aux]
    Inputs: [{Name: x, Index: 0, DataType: float, Auxiliary: false, Wildcard: true}]
    KeyFields: [x, aux]
    Outputs: [{Name: score, Index: 0, DataType: float32}]
    Transformer: features:score
    DataStore: d
    Batch:
      MaxBatchSize: 0
      BatchWait: 500000
      BatchWaitMicros: 200
      MaxEvaluatorConcurrency: 0
      MaxQueuedBatches: 16384
      TimeoutAdjustments: {Increment: 100000, Max: 0}
      Verbose: {ID: m, Output: true, Input: true}
    Stream: {URL: /tmp/log, Codec: gzip, SamplePct: 10, Rotation: {EveryMs: 1000, MaxEntries: 5}}
    Test: {Test: true, SingleBatch: true, Single: {x: 1.5}, Batch: {x: [1.5, 2.5]}}
    Platform: tensorflow
    Mode: inference
    ReloadPollIntervalSeconds: 30
    ReloadTimeoutSeconds: 10
    ContinueOnRecover: true
Connections: [{ID: c, Hostnames: "a,b", Port: 3000, Timeout: {Unit: sec, Connection: 1, Socket: 2, Total: 3}}]
Datastores:
  - ID: d
    Cache: {SizeMb: 1, MaxEntries: 100, EntrySize: 128, Shards: 32, Location: /tmp/cache}
    Connection: c
    Namespace: ns
    Dataset: set
    TimeToLiveMs: 900000
    RetryTimeMs: 5000
    ReadOnly: true
    L2: {Connection: c, Namespace: ns, Dataset: two, TimeToLiveMs: 1000, RetryTimeMs: 1, ReadOnly: false}
    Storable: thing
    Fields: [{Name: score, DataType: float32}]
    Disabled: false
    Debug: true
GlobalBatching: {MaxBatchSize: 100, BatchWait: 500000}
Metrics: {Prometheus: {ModelIdletimeBuckets: [10, 100, 1e3]}}
Endpoint:
  Port: 8080
  ReadTimeoutMs: 5000
  WriteTimeoutMs: 5000
  WriteTimeout: 5000000000
  MaxHeaderBytes: 8192
  PoolMaxSize: 512
  BufferSize: 131072
  MaxEvaluatorWaitMs: 50
  MaxEvaluatorWait: 50000000
  MaxEvaluatorConcurrency: 5000
EnableMemProf: true
EnableCPUProf: true
TLS: {CertFile: cert.pem, KeyFile: key.pem}
AllowedSubnet: [127.0.0.1, 10.0.0.0/8, 192.168.]
ProfilerPort: 6060
"""


def load(text: str) -> LoadedConfig:
    return parse_config(text, place="/etc/mlserve/config.yaml", environ={"appPath": "/app"})


def test_the_worked_example_keeps_its_defaults() -> None:
    """mly's documented defaults would differ."""
    config = load(CTR).config
    assert config.models[0].inputs[0].precision == 2
    store = config.datastores[0]
    assert store.cache is not None
    assert (store.cache.size_mb, store.time_to_live_ms) == (64, timedelta(minutes=15))


def test_expected_values_load() -> None:
    """Key fields, use of the dictionary or timeouts of mly's test configuration would be lost."""
    loaded = load(EXPECTED_VALUES)
    by_id = {model.id: model for model in loaded.config.models}
    assert by_id["sli"].key_fields == ("sa", "sl", "aux", "kf")
    assert by_id["slf"].inputs[2].auxiliary
    assert not by_id["flinc"].use_dict
    assert loaded.config.datastores[0].time_to_live_ms == timedelta(seconds=30)
    assert not loaded.notices


def test_the_contract_sample_loads() -> None:
    """The configuration promised to users would not work."""
    config = load(CONTRACT).config
    assert config.models[0].batch is not None
    assert config.models[0].batch.max_batch_size == 64
    assert config.models[0].test is not None
    assert config.models[0].test.single == {"island": "Dream", "bill_length_mm": 40.1}
    assert config.datastores[0].l2 is not None
    assert config.datastores[0].l2.time_to_live_ms == timedelta(days=1)


def test_mixed_spellings_and_the_environment() -> None:
    """Configurations as people write them for mly would be refused."""
    loaded = load(MIXED_SPELLINGS)
    model = loaded.config.models[0]
    assert model.url == "/app/example/model/string_lookups_int_model"
    assert (model.data_store, model.key_fields) == ("sli", ("sa", "sl"))
    timeout = loaded.config.connections[0].timeout
    assert timeout is not None
    assert (timeout.connection, timeout.socket, timeout.total) == (300, 300, 300)
    assert [notice.path for notice in loaded.notices] == ["Models[0].Debug"]


def test_every_key_of_mly_is_known() -> None:
    """A key of mly's reference would be called unknown, or told of as without effect though it has one."""
    loaded = load(EVERY_KEY)
    model = loaded.config.models[0]
    assert (model.backend, model.poll_interval) == ("tensorflow", timedelta(seconds=30))
    assert [notice.path for notice in loaded.notices] == [
        "Models[0].Debug",
        "Models[0].Dir",
        "Models[0].DictURL",
        "Models[0].OutputType",
        "Models[0].Inputs[0].Index",
        "Models[0].Outputs[0].Index",
        "Models[0].Outputs[0].DataType",
        "Models[0].Batch.Verbose",
        "Models[0].Stream",
        "Models[0].ReloadTimeoutSeconds",
        "Models[0].ContinueOnRecover",
        "Datastores[0].Cache.MaxEntries",
        "Datastores[0].Cache.EntrySize",
        "Datastores[0].Cache.Shards",
        "Datastores[0].Cache.Location",
        "Datastores[0].Storable",
        "Datastores[0].Debug",
        "Metrics.Prometheus.ModelIdletimeBuckets",
        "Endpoint.PoolMaxSize",
        "ProfilerPort",
    ]
