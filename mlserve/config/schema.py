"""The configuration as typed values. Names in YAML are those of mly, whatever their case: ``MaxRows`` = ``maxrows``.

This file only says what there is. ``document.py`` reads YAML, ``environment.py`` fills in ``${VAR}``, ``conform.py``
matches the result against these classes, ``checks.py`` looks for what contradicts itself, ``notices.py`` for what has
no effect, and ``load.py`` joins them.

Members stand in the order in which ``GET /v1/api/config/`` shows them: mly's first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from mlserve.config.masking import redact_value
from mlserve.config.units import Microseconds, Milliseconds, Nanoseconds, Seconds, parse_duration
from mlserve.types import DType

_ZERO = timedelta(0)

Name = Annotated[str, Field(min_length=1)]
"""Text that may not be empty."""


def _yaml_name(attribute: str) -> str:
    """``max_batch_size`` -> ``MaxBatchSize``, with mly's own spellings where they differ."""
    acronyms = {"id": "ID", "url": "URL", "l2": "L2", "tls": "TLS", "cpu": "CPU", "mb": "MB"}
    return "".join(acronyms.get(word, word.capitalize()) for word in attribute.split("_"))


class Section(BaseModel):
    """Base of every mapping in the file: strict about names, immutable, known by its YAML spelling.

    ``synonyms`` are other names of a member, ``zero_is_unset`` are members whose 0 means "the default", as in mly,
    and ``shorthand`` is what a scalar stands for where this mapping is expected (``None``: it is an error).
    """

    model_config = ConfigDict(
        alias_generator=_yaml_name, extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    synonyms: ClassVar[Mapping[str, str]] = {}
    zero_is_unset: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def shorthand(cls, value: object) -> dict[str, object] | None:
        return None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What ``repr`` shows: only what was given, and without secrets."""
        for name, value in super().__repr_args__():
            if name in self.model_fields_set:
                yield name, redact_value(value) if isinstance(value, str) else value


class EndpointConfig(Section):
    """Where and how the server listens. Sizes in bytes."""

    zero_is_unset: ClassVar[frozenset[str]] = frozenset(
        {
            "ReadTimeoutMs", "WriteTimeoutMs", "WriteTimeout", "MaxHeaderBytes", "BufferSize",
            "MaxEvaluatorWaitMs", "MaxEvaluatorWait", "MaxEvaluatorConcurrency",
        }
    )  # fmt: skip

    host: Name = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    read_timeout_ms: Milliseconds = Field(timedelta(seconds=5), gt=_ZERO)
    write_timeout_ms: Milliseconds = Field(timedelta(seconds=5), gt=_ZERO)
    write_timeout: Nanoseconds | None = Field(None, gt=_ZERO)
    idle_timeout_ms: Milliseconds = Field(timedelta(seconds=75), gt=_ZERO)
    max_header_bytes: int = Field(8192, ge=256)
    buffer_size: int = Field(4 * 1024 * 1024, ge=1)
    max_rows: int = Field(10_000, ge=1)
    max_connections: int = Field(10_000, ge=1)
    max_in_flight_bytes: int = Field(256 * 1024 * 1024, ge=1)
    """What request bodies and answers may hold in memory, over all connections."""
    max_evaluator_wait_ms: Milliseconds = Field(timedelta(milliseconds=50), gt=_ZERO)
    max_evaluator_wait: Nanoseconds | None = Field(None, gt=_ZERO)
    max_evaluator_concurrency: int = Field(5000, ge=1)
    """Evaluations at once, of all models together."""
    client_cache_control: bool = True
    access_log: Literal["off", "sampled", "all"] = "off"
    access_log_sample: float = Field(0.01, ge=0, le=1)
    shutdown_wait_ms: Milliseconds = Field(_ZERO, ge=_ZERO)
    """After SIGTERM: how long ``/readyz`` says 503 before the port closes, so that load balancers notice."""
    shutdown_timeout_ms: Milliseconds = Field(timedelta(seconds=30), ge=_ZERO)
    """After SIGTERM: how long requests in flight may still take."""
    pool_max_size: int | None = None

    @property
    def request_timeout(self) -> timedelta:
        """A request's deadline unless its caller sets an earlier one."""
        return self.write_timeout or self.write_timeout_ms

    @property
    def evaluator_wait(self) -> timedelta:
        """How long a request may wait for one of ``MaxEvaluatorConcurrency``."""
        return self.max_evaluator_wait or self.max_evaluator_wait_ms


class InputConfig(Section):
    """One entry of ``Models[].Inputs``; a bare name stands for ``{Name: name}``.

    ``Default: .nan`` is a value (missing numbers are NaN), ``Default: null`` says "no default".
    """

    @classmethod
    def shorthand(cls, value: object) -> dict[str, object] | None:
        return {"Name": str(value)}

    name: Name
    index: int | None = None
    data_type: str | None = None
    auxiliary: bool = False
    wildcard: bool = False
    precision: int | None = Field(None, ge=1, le=9)
    default: Any = None

    @property
    def has_default(self) -> bool:
        return self.default is not None

    @property
    def dtype(self) -> DType | None:
        """``DataType`` by our names (mly says ``float`` for float32, ``int`` for int64). Raises :class:`ValueError`."""
        if self.data_type is None:
            return None
        name = self.data_type.casefold()
        return DType({"float": "float32", "int": "int64"}.get(name, name))


class OutputConfig(Section):
    """One entry of ``Models[].Outputs``: an output to answer; a bare name stands for ``{Name: name}``."""

    @classmethod
    def shorthand(cls, value: object) -> dict[str, object] | None:
        return {"Name": str(value)}

    name: Name
    index: int | None = None
    data_type: str | None = None


class TimeoutAdjustments(Section):
    """mly's adaptive window."""

    increment: Nanoseconds = Field(timedelta(microseconds=100), ge=_ZERO)
    max: int = Field(0, ge=0)


class BatchConfig(Section):
    """Micro-batching of one model, or of all (``GlobalBatching``). A ``BatchWait`` below 0 switches batching off."""

    max_batch_size: int | None = Field(None, ge=0)
    batch_wait: Nanoseconds | None = None
    batch_wait_micros: Microseconds | None = None
    """Overrides ``BatchWait``."""
    max_evaluator_concurrency: int | None = Field(None, ge=0)
    max_queued_batches: int | None = Field(None, ge=0)
    max_queued_rows: int | None = Field(None, ge=1)
    timeout_adjustments: TimeoutAdjustments | None = None
    verbose: dict[str, Any] | None = None


class TestConfig(Section):
    """The self-test a version must pass before it serves.

    ::

        Test:
          Single: {island: Dream, bill_length_mm: 40.1}   # one row; inputs left out get made-up values
          Expect: {species: Adelie, score: 0.97}          # output -> the value it must have
          Tolerance: 1e-3                                 # of numbers: relative or absolute, whichever is wider

    With ``Batch: {input: [values]}`` and no ``Single``, each value of ``Expect`` is a list with one element per row.
    Outputs that ``Expect`` does not name are not compared; names in all three mappings are the model's, case and all.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    test: bool = False
    single: dict[str, Any] | None = None
    single_batch: bool = False
    batch: dict[str, Any] | None = None
    expect: dict[str, Any] | None = None
    tolerance: float = Field(1e-5, ge=0, allow_inf_nan=False)


class ReloadConfig(Section):
    """How a new version takes over: its cache is warmed with the rows that the old one was asked most."""

    warm_rows: int = Field(10_000, ge=0)
    """At most this many; 0 for none."""
    warm_time_ms: Milliseconds = Field(timedelta(seconds=5), ge=_ZERO)
    """The longest that the old version goes on serving for it."""


class ModelConfig(Section):
    """One entry of ``Models``."""

    synonyms: ClassVar[Mapping[str, str]] = {"ReloadPollIntervalSeconds": "PollInterval"}
    zero_is_unset: ClassVar[frozenset[str]] = frozenset({"PollInterval"})

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$")
    debug: bool = False
    location: str | None = None
    """The folder that local copies are made in; default: a folder of our own under the system's temporary one."""
    dir: str | None = None
    url: Name
    batch: BatchConfig | None = None
    tags: tuple[str, ...] = ("serve",)
    use_dict: bool = True
    dict_url: str | None = None
    inputs: tuple[InputConfig, ...] = ()
    key_fields: tuple[Name, ...] = ()
    auxiliary: tuple[Name, ...] = ()
    outputs: tuple[OutputConfig, ...] = ()
    output_type: str | None = None
    transformer: Name | None = None
    data_store: str | None = None
    stream: dict[str, Any] | None = None
    test: TestConfig | None = None

    backend: Name | None = None
    signature: Name = "serving_default"
    providers: tuple[Name, ...] = ("cpu",)
    provider_options: dict[str, Any] = {}
    """Mappings of onnxruntime's own names to values, by the names in ``Providers``."""
    threads: int | None = Field(None, ge=1)
    rows: bool = True
    """False: one request is one run, whatever the signature would allow."""
    cache_version: str = ""
    required: bool = True
    reload: ReloadConfig = ReloadConfig()
    poll_interval: Seconds = Field(timedelta(seconds=60), gt=_ZERO)
    ready_file: Name | None = None
    max_bytes: int = Field(16 * 1024**3, ge=1)
    """The most an artefact may weigh, unpacked."""
    platform: Literal["tensorflow", "triton"] | None = None
    """Newer mly's name for ``Backend``; ``triton`` is refused."""
    mode: Literal["inference", "router"] | None = None
    reload_timeout_seconds: int | None = None
    continue_on_recover: bool | None = None

    _store: DatastoreConfig | None = PrivateAttr(default=None)

    @property
    def store(self) -> DatastoreConfig | None:
        """The datastore that ``DataStore`` names; set on models from :meth:`Config.wanted_models`."""
        return self._store

    @property
    def device_options(self) -> dict[str, dict[str, str]]:
        """``ProviderOptions`` as runtimes take them: all text."""
        return {
            device: {name: str(value) for name, value in options.items()}
            for device, options in self.provider_options.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _platform_is_a_backend(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("Platform") == "tensorflow" and "Backend" not in data:
            return {**data, "Backend": "tensorflow"}
        return data


class MemoryCacheConfig(Section):
    """``Datastores[].Cache``: the in-memory tier."""

    zero_is_unset: ClassVar[frozenset[str]] = frozenset({"SizeMB", "MaxEntries"})

    size_mb: int = Field(1, ge=1)
    max_entries: int | None = Field(None, ge=1)
    entry_size: int | None = None
    shards: int | None = None
    location: str | None = None


class TierConfig(Section):
    """An external tier: ``L2``, and L1 by the same members of the datastore itself."""

    zero_is_unset: ClassVar[frozenset[str]] = frozenset({"TimeToLiveMs", "RetryTimeMs"})

    connection: str | None = None
    namespace: str | None = None
    dataset: str | None = None
    time_to_live_ms: Milliseconds | None = Field(None, gt=_ZERO)
    retry_time_ms: Milliseconds | None = Field(None, gt=_ZERO)
    read_only: bool = False
    layout: Literal["mly", "native"] | None = None

    _link: ConnectionConfig | None = PrivateAttr(default=None)

    @property
    def link(self) -> ConnectionConfig | None:
        """What ``Connection`` names; set on the datastores of models from :meth:`Config.wanted_models`."""
        return self._link

    @property
    def keeps_records(self) -> bool:
        """True for mly's layout: asked for, or what its clients expect because the tier is described as theirs are."""
        return self._link is not None and self.keeps_records_in(self._link)

    def keeps_records_in(self, link: ConnectionConfig) -> bool:
        """As :attr:`keeps_records`, if it were behind ``link``."""
        if self.layout is not None:
            return self.layout == "mly"
        return link.hostnames is not None or (link.scheme == "aerospike" and bool(self.namespace or self.dataset))


class DatastoreConfig(TierConfig):
    """One entry of ``Datastores``: a cache chain that models name by ``DataStore``."""

    id: Name
    cache: MemoryCacheConfig | None = None
    l2: TierConfig | None = None
    time_to_live_ms: Milliseconds = Field(timedelta(minutes=15), gt=_ZERO)
    retry_time_ms: Milliseconds = Field(timedelta(seconds=5), gt=_ZERO)
    storable: str | None = None
    fields: tuple[OutputConfig, ...] = ()
    disabled: bool = False
    debug: bool = False


class ConnectionTimeout(Section):
    """mly's timeouts of an Aerospike connection; ``Timeout: 300`` or ``300ms`` sets all three."""

    zero_is_unset: ClassVar[frozenset[str]] = frozenset({"Connection", "Socket", "Total"})

    unit: Literal["ms", "sec", "min"] = "ms"
    connection: int = Field(800, ge=1)
    socket: int = Field(400, ge=1)
    total: int = Field(450, ge=1)

    @classmethod
    def shorthand(cls, value: object) -> dict[str, object] | None:
        milliseconds = parse_duration(value, "ms") // timedelta(milliseconds=1)
        return {"Connection": milliseconds, "Socket": milliseconds, "Total": milliseconds}


class ConnectionConfig(Section):
    """One entry of ``Connections``: a ``URL``, or mly's ``Hostnames``, ``Port`` and ``Timeout`` (Aerospike)."""

    zero_is_unset: ClassVar[frozenset[str]] = frozenset({"Port"})

    id: Name
    url: Name | None = None
    hostnames: Name | None = None
    port: int = Field(3000, ge=1, le=65535)
    timeout: ConnectionTimeout | None = None

    @model_validator(mode="after")
    def _has_one_address(self) -> ConnectionConfig:
        if (self.url is None) == (self.hostnames is None):
            raise ValueError("give one of URL (redis://, aerospike://, lmdb:) and Hostnames")
        return self

    @property
    def scheme(self) -> str:
        """What chooses the store: that of the URL, in small letters."""
        return "aerospike" if self.url is None else self.url.partition(":")[0].lower()


class PrometheusConfig(Section):
    """mly's ``Metrics.Prometheus``."""

    model_idletime_buckets: tuple[float, ...] | None = None


class MetricsConfig(Section):
    """``Metrics``."""

    prometheus: PrometheusConfig | None = None


class TLSConfig(Section):
    """Certificate and key in PEM files, relative to the configuration."""

    cert_file: Name
    key_file: Name


class Config(Section):
    """A whole configuration file."""

    models: tuple[ModelConfig, ...] = ()
    connections: tuple[ConnectionConfig, ...] = ()
    datastores: tuple[DatastoreConfig, ...] = ()
    global_batching: BatchConfig | None = None
    metrics: MetricsConfig | None = None
    endpoint: EndpointConfig = EndpointConfig()
    enable_mem_prof: bool = False
    enable_cpu_prof: bool = False
    tls: TLSConfig | None = None
    allowed_subnet: tuple[str, ...] = ()
    profiler_port: int | None = None

    def wanted_models(self) -> tuple[ModelConfig, ...]:
        """The models, each with what it shares with others filled in, so that one value says all that shapes it.

        That is its datastore, and ``GlobalBatching`` where it has no ``Batch`` of its own. Two models that are equal
        here need no reload.
        """
        stores = {store.id: self._linked(store) for store in self.datastores}
        models = []
        for model in self.models:
            batch = model.batch or self.global_batching
            filled = model.model_copy(update={"batch": batch} if batch else None)
            filled._store = stores.get(model.data_store or "")  # noqa: SLF001  # this class fills what that one shows
            models.append(filled)
        return tuple(models)

    def _linked(self, store: DatastoreConfig) -> DatastoreConfig:
        links = {link.id: link for link in self.connections}
        filled = store.model_copy(update={"l2": store.l2.model_copy()} if store.l2 is not None else None)
        for tier in (filled, filled.l2):
            if tier is not None and tier.connection:
                tier._link = links.get(tier.connection)  # noqa: SLF001  # as above
        return filled
