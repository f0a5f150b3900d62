"""The configuration as typed values. Names in YAML are those of mly, whatever their case: ``MaxRows`` = ``maxrows``.

Reading, positions, substitution and error texts are in ``load.py``; this file only says what there is.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlserve.config.units import Microseconds, Milliseconds, Nanoseconds, Seconds


def _yaml_name(attribute: str) -> str:
    """``max_batch_size`` -> ``MaxBatchSize``, with mly's own spellings where they differ."""
    acronyms = {"id": "ID", "url": "URL", "l2": "L2", "tls": "TLS", "cpu": "CPU", "mb": "MB"}
    return "".join(acronyms.get(word, word.capitalize()) for word in attribute.split("_"))


class Section(BaseModel):
    """Base of every mapping in the file: strict about names, immutable, known by its YAML spelling."""

    model_config = ConfigDict(
        alias_generator=_yaml_name, extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )


class EndpointConfig(Section):
    """Where and how the server listens. Sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    read_timeout_ms: Milliseconds = timedelta(seconds=5)
    write_timeout_ms: Milliseconds = timedelta(seconds=5)
    write_timeout: Nanoseconds | None = None
    idle_timeout_ms: Milliseconds = timedelta(seconds=75)
    max_header_bytes: int = Field(8192, ge=256)
    buffer_size: int = Field(4 * 1024 * 1024, ge=1)
    max_rows: int = Field(10_000, ge=1)
    max_evaluator_wait_ms: Milliseconds | None = None
    max_evaluator_wait: Nanoseconds | None = None
    max_evaluator_concurrency: int = Field(5000, ge=1)
    client_cache_control: bool = True
    access_log: Literal["off", "sampled", "all"] = "off"
    access_log_sample: float = Field(0.01, ge=0, le=1)
    shutdown_wait_ms: Milliseconds = timedelta(0)
    """After SIGTERM: how long ``/readyz`` says 503 before the port closes, so that load balancers notice."""
    shutdown_timeout_ms: Milliseconds = timedelta(seconds=30)
    """After SIGTERM: how long requests in flight may still take."""
    pool_max_size: int | None = None

    @property
    def request_timeout(self) -> timedelta:
        """A request's deadline unless its caller sets an earlier one."""
        return self.write_timeout or self.write_timeout_ms


class InputConfig(Section):
    """One entry of ``Models[].Inputs``."""

    name: str
    index: int | None = None
    data_type: str | None = None
    auxiliary: bool = False
    wildcard: bool = False
    precision: int | None = Field(None, ge=1, le=9)
    default: Any = None

    @property
    def has_default(self) -> bool:
        """Told apart from ``Default: null``, which says "no default"."""
        return self.default is not None


class OutputConfig(Section):
    """One entry of ``Models[].Outputs``: an output to answer."""

    name: str
    index: int | None = None
    data_type: str | None = None


class TimeoutAdjustments(Section):
    """mly's adaptive window."""

    increment: Nanoseconds = timedelta(microseconds=100)
    max: int = 0


class BatchConfig(Section):
    """Micro-batching of one model, or of all (``GlobalBatching``)."""

    max_batch_size: int | None = Field(None, ge=0)
    batch_wait: Nanoseconds | None = None
    batch_wait_micros: Microseconds | None = None
    max_evaluator_concurrency: int | None = Field(None, ge=0)
    max_queued_batches: int | None = Field(None, ge=0)
    max_queued_rows: int | None = Field(None, ge=1)
    timeout_adjustments: TimeoutAdjustments | None = None
    verbose: dict[str, Any] | None = None


class ExpectConfig(Section):
    """``Test.Expect``: what the test rows must give. Floats compare within ``Tolerance`` (relative and absolute)."""

    outputs: dict[str, Any] = Field(default_factory=dict)
    tolerance: float = Field(1e-5, ge=0)


class TestConfig(Section):
    """The self-test a version must pass before it serves."""

    __test__ = False  # not a test class, whatever pytest makes of its name

    test: bool = False
    single: dict[str, Any] | None = None
    single_batch: bool = False
    batch: dict[str, Any] | None = None
    expect: ExpectConfig | None = None


class ModelConfig(Section):
    """One entry of ``Models``."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$")
    url: str
    backend: str | None = None
    signature: str = "serving_default"
    tags: tuple[str, ...] = ("serve",)
    providers: tuple[str, ...] = ("cpu",)
    threads: int | None = Field(None, ge=1)
    inputs: tuple[InputConfig, ...] = ()
    key_fields: tuple[str, ...] = ()
    auxiliary: tuple[str, ...] = ()
    outputs: tuple[OutputConfig, ...] = ()
    rows: bool = True
    """False: one request is one run, whatever the signature would allow."""
    transformer: str | None = None
    use_dict: bool = True
    data_store: str | None = None
    cache_version: str = ""
    batch: BatchConfig | None = None
    test: TestConfig | None = None
    required: bool = True
    poll_interval: Seconds = timedelta(seconds=60)
    ready_file: str | None = None
    max_bytes: int = Field(16 * 1024**3, ge=1)
    """The most an artefact may weigh, unpacked."""
    location: str | None = None
    """The folder that local copies are made in; default: a folder of our own under the system's temporary one."""
    dir: str | None = None
    debug: bool = False
    dict_url: str | None = Field(None, alias="DictURL")
    output_type: str | None = None
    stream: dict[str, Any] | None = None
    platform: Literal["tensorflow", "triton"] | None = None
    mode: Literal["inference", "router"] | None = None
    reload_poll_interval_seconds: int | None = None
    reload_timeout_seconds: int | None = None
    continue_on_recover: bool | None = None


class MemoryCacheConfig(Section):
    """``Datastores[].Cache``: the in-memory tier."""

    size_mb: int = Field(1, ge=1)
    max_entries: int | None = None
    entry_size: int | None = None
    shards: int | None = None
    location: str | None = None


class TierConfig(Section):
    """An external tier: ``L2``, and L1 by the same members of the datastore itself."""

    connection: str | None = None
    namespace: str | None = None
    dataset: str | None = None
    time_to_live_ms: Milliseconds | None = None
    retry_time_ms: Milliseconds | None = None
    read_only: bool = False
    layout: Literal["mly", "native"] | None = None


class DatastoreConfig(TierConfig):
    """One entry of ``Datastores``: a cache chain that models name by ``DataStore``."""

    id: str
    cache: MemoryCacheConfig | None = None
    l2: TierConfig | None = None
    time_to_live_ms: Milliseconds = timedelta(minutes=15)
    retry_time_ms: Milliseconds = timedelta(seconds=5)
    storable: str | None = None
    fields: tuple[OutputConfig, ...] = ()
    disabled: bool = False
    debug: bool = False


class ConnectionTimeout(Section):
    """mly's timeouts of an Aerospike connection."""

    unit: Literal["ms", "sec", "min"] = "ms"
    connection: int = 800
    socket: int = 400
    total: int = 450


class ConnectionConfig(Section):
    """One entry of ``Connections``: a ``URL``, or mly's ``Hostnames``, ``Port`` and ``Timeout`` (Aerospike)."""

    id: str
    url: str | None = None
    hostnames: str | None = None
    port: int = 3000
    timeout: ConnectionTimeout | None = None

    @model_validator(mode="after")
    def _has_an_address(self) -> ConnectionConfig:
        if (self.url is None) == (self.hostnames is None):
            raise ValueError("give either URL (redis://, aerospike://, lmdb:) or Hostnames, not both and not neither")
        return self


class PrometheusConfig(Section):
    """mly's ``Metrics.Prometheus``."""

    model_idletime_buckets: tuple[float, ...] | None = None


class MetricsConfig(Section):
    """``Metrics``."""

    prometheus: PrometheusConfig | None = None


class TLSConfig(Section):
    """Certificate and key in PEM files, relative to the configuration."""

    cert_file: str
    key_file: str


class Config(Section):
    """A whole configuration file."""

    endpoint: EndpointConfig = EndpointConfig()
    models: tuple[ModelConfig, ...] = ()
    datastores: tuple[DatastoreConfig, ...] = ()
    connections: tuple[ConnectionConfig, ...] = ()
    global_batching: BatchConfig | None = None
    metrics: MetricsConfig | None = None
    tls: TLSConfig | None = None
    allowed_subnet: tuple[str, ...] = ()
    enable_mem_prof: bool = False
    enable_cpu_prof: bool = Field(False, alias="EnableCPUProf")
