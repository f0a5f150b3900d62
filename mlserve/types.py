"""The nouns every room shares: what a tensor is, what a model takes and gives, and what a row is.

One data type joins everything: :data:`Predict` maps :class:`Rows` to :class:`Rows`. Metrics, transformer,
cache and batcher are wrappers of that type; a backend's runner is its innermost one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
T = TypeVar("T")


class DType(StrEnum):
    """Element types, by the names that numpy, the Open Inference Protocol and our users use."""

    BOOL = "bool"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    STRING = "string"
    """``str`` in object arrays. Bytes that are not UTF-8 stand in it as lone surrogates (``surrogateescape``)."""
    JSON = "json"
    """Outputs only: any plain value per row, such as a classifier's ``{label: probability}``."""

    is_float: bool
    is_integer: bool
    is_complex: bool

    def __init__(self, name: str) -> None:
        kind = name.rstrip("0123456789")
        self.is_float = kind in ("float", "bfloat")
        self.is_integer = kind in ("int", "uint")
        self.is_complex = kind == "complex"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype of an array that holds this; strings and plain values live in object arrays."""
        if self in (DType.STRING, DType.JSON):
            return np.dtype(object)
        if self is DType.BFLOAT16:
            import ml_dtypes  # only models with this type need it

            bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return bfloat16
        return np.dtype(self.value)


Shape = tuple[int | None, ...]
"""Dimensions of a tensor; ``None`` is free."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor of a model's signature, as the runtime declares it (axis 0 included).

    ``shape`` is ``None`` where the runtime does not know even the rank.
    """

    name: str
    dtype: DType
    shape: Shape | None

    def __str__(self) -> str:
        dims = "?" if self.shape is None else ",".join("-1" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a loaded model takes and gives. Inputs and outputs keep one order for the life of a version."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Serving(StrEnum):
    """How rows meet the model; decided at load from the signature and ``Rows`` in the configuration."""

    ROWS = "rows"
    """Every input has a free first dimension: any number of rows in one run."""
    ONE = "one"
    """The first dimension is fixed to 1: rows are run one at a time."""
    WHOLE = "whole"
    """A request is one run. It travels as a single row whose shape is the whole tensor."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for "no default"; a class of its own because ``None`` and NaN are values one may want."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


UNKNOWN_WORD = "[UNK]"
UNKNOWN_NUMBER = 0


class Vocabulary:
    """The values of an input that a model tells apart; it answers alike to all others, and to their sentinel.

    The sentinel is :data:`UNKNOWN_WORD` for strings, :data:`UNKNOWN_NUMBER` for integers, and need not be a word.
    Immutable; vocabularies of the same words are equal, and so are their ``digest`` and ``repr``.
    """

    __slots__ = ("digest", "sentinel", "words")

    def __init__(self, words: Iterable[str | int], sentinel: str | int) -> None:
        self.words: frozenset[str | int] = frozenset(words)
        self.sentinel = sentinel
        hashed = sha256()
        for word in sorted(self.words, key=str):
            text = str(word).encode("utf-8", "surrogatepass")
            hashed.update(len(text).to_bytes(8, "little") + text)
        self.digest = hashed.hexdigest()
        """SHA-256 over the words in order, in hex."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.digest, self.sentinel) == (other.digest, other.sentinel)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words, else {self.sentinel!r}, {self.digest})"


@dataclass(frozen=True, slots=True)
class Lookups:
    """What a model does with one of its inputs before anything else, as far as its graph proves it.

    ``columns`` maps an element of the row (its place in the flattened row) to the vocabulary it is looked up in;
    ``every`` is the vocabulary of all elements, for a scalar too. An element with neither is exact. ``reason`` says
    which rule applied, in words for a person: ``looked up in the table 'country_lookup'``, ``exact: Cast to float32
    feeds MatMul``.
    """

    reason: str = field(repr=False)
    every: Vocabulary | None = None
    columns: Mapping[int, Vocabulary] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputField:
    """One input as callers see it: an entry of the effective ``Inputs``, in key order.

    ``shape`` is that of one row: ``()`` for the model shapes ``[-1]`` and ``[-1,1]``, ``None`` if the rank is unknown.
    An ``auxiliary`` field is accepted and typed, and never fed to the model. ``wildcard`` and ``precision`` say how
    the field's value enters the cache key; a float with ``precision`` is rounded before anything sees it, and a value
    outside the vocabularies of ``lookups`` (known for inputs of the model alone) becomes their sentinel.
    """

    name: str
    dtype: DType
    shape: Shape | None
    auxiliary: bool = False
    wildcard: bool = False
    precision: int | None = None
    default: object = MISSING
    lookups: Lookups | None = field(default=None, compare=False)

    @property
    def has_default(self) -> bool:
        return self.default is not MISSING


@dataclass(frozen=True, slots=True)
class Interface:
    """What callers may send to one deployment and what they get back. Protocols decode and encode by it alone.

    ``outputs`` are what the model answers, in order, and ``None`` where a transformer decides.
    """

    inputs: tuple[InputField, ...]
    outputs: tuple[TensorSpec, ...] | None
    serving: Serving
    dict_hash: int | None = None
    by_name: Mapping[str, InputField] = field(init=False, repr=False, compare=False)
    _derived: dict[Callable[[Interface], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {item.name: item for item in self.inputs})

    def derived(self, make: Callable[[Interface], T]) -> T:
        """``make(self)``, worked out at the first call and kept as long as this interface.

        For tables that codecs read at every request. ``make`` must be a pure function that a module holds: it is the
        key. Two threads that ask at once may both make it.
        """
        try:
            made: T = self._derived[make]
        except KeyError:
            made = self._derived[make] = make(self)
        return made


@dataclass(slots=True)  # not frozen: made several times for every request, where freezing costs as much as all else
class Rows:
    """Named columns that share axis 0, which has ``count`` rows. Treat the arrays as read-only: they are shared."""

    columns: Mapping[str, Array]
    count: int

    def take(self, indices: Sequence[int] | slice) -> Rows:
        """The rows at ``indices``, in that order (views for slices, copies otherwise)."""
        count = len(range(*indices.indices(self.count))) if isinstance(indices, slice) else len(indices)
        return Rows({name: column[indices] for name, column in self.columns.items()}, count)


class CacheUse(StrEnum):
    """What a caller asks of the cache (request ``Cache-Control``)."""

    NORMAL = "normal"
    NO_CACHE = "no-cache"
    """Compute anew, and replace what is stored; others may join the run."""
    NO_STORE = "no-store"
    """Neither read, join nor store."""
    ONLY_IF_CACHED = "only-if-cached"
    """Compute nothing."""


@dataclass(slots=True)
class Context:
    """What travels beside the rows of one request. ``deadline`` counts as :func:`time.monotonic` does.

    ``cache_status`` is written on the way: how the cache took part, in the words of RFC 9211. ``begun`` is set by
    whoever starts to run the rows: from then on they are finished and stored, whoever stops waiting for them.
    ``stored_as`` is set to the full key of a single row that was answered from memory.
    """

    deadline: float
    request_id: str = ""
    cache: CacheUse = CacheUse.NORMAL
    cache_status: str = ""
    begun: bool = False
    stored_as: bytes | None = None


Predict = Callable[[Rows, Context], Awaitable[Rows]]
"""One ``Rows`` in, one out, same ``count`` and order. Raises only what ``mlserve.errors`` names."""
