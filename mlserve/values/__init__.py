"""Plain Python values to columns and back, for one :class:`~mlserve.types.Interface`.

Protocols, the self-test, ``check`` and transformers all speak in plain values: what JSON, YAML or a query string
hold. This is the one place that knows how such values fit a dtype and a shape.
"""

from __future__ import annotations

from mlserve.values.agree import agrees
from mlserve.values.defaults import default_row
from mlserve.values.names import refuse_names
from mlserve.values.nesting import depth_of
from mlserve.values.packing import packed
from mlserve.values.plain import count_non_finite, count_non_finite_in, plain_row, plain_value
from mlserve.values.rows import rows_from_values
from mlserve.values.show import example, shown

__all__ = [
    "agrees",
    "count_non_finite",
    "count_non_finite_in",
    "default_row",
    "depth_of",
    "example",
    "packed",
    "plain_row",
    "plain_value",
    "refuse_names",
    "rows_from_values",
    "shown",
]
