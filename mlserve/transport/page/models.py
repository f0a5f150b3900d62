"""The models as ``GET /v1/api/models`` shows them: a short line each, and the inputs of the one that is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from mlserve import __version__
from mlserve.errors import BadRequest, UnknownModel
from mlserve.observe.line import one_line
from mlserve.observe.model_metrics import ModelMetrics
from mlserve.serving.deployment import Deployment
from mlserve.serving.manager import Status
from mlserve.transport.page.example import example_texts, text_of
from mlserve.types import InputField

_LONGEST_QUERY: Final = 1024


def models_json(statuses: Sequence[Status], meters: Mapping[str, ModelMetrics], query: str) -> bytes:
    """Every model of ``statuses``, in order; with ``id=<id>`` in ``query`` only that one, and its interface too.

    Raises :class:`UnknownModel` for an id that there is not, and :class:`BadRequest` for any other query.
    """
    asked = _asked(query)
    if asked is None:
        models = [_line(status, meters.get(status.model_id)) for status in statuses]
    else:
        status = next((one for one in statuses if one.model_id == asked), None)
        if status is None:
            raise UnknownModel("no model of that id is configured")
        models = [_line(status, meters.get(asked)) | _interface(status.deployment)]
    body = {"version": __version__, "clockSeconds": round(monotonic(), 6), "models": models}
    return orjson.dumps(body)


def _asked(query: str) -> str | None:
    if not query:
        return None
    if len(query) <= _LONGEST_QUERY:
        parameters = parse_qs(query, keep_blank_values=True)
        if parameters.keys() == {"id"} and len(parameters["id"]) == 1:
            return parameters["id"][0]
    raise BadRequest("takes no parameter, or one: id=<the id of a model>")


def _line(status: Status, meters: ModelMetrics | None) -> dict[str, Any]:
    serving = status.deployment
    line: dict[str, Any] = {
        "id": status.model_id,
        "state": "serving" if serving else "failed" if status.error else "loading",
        "error": one_line(status.error) if status.error else None,
        "required": status.required,
        "rows": int(meters.rows.value) if meters else 0,
        **_cache(meters.lookups.counts if meters else {}),
    }
    if serving is not None:
        line |= {
            "generation": serving.generation,
            "runtime": serving.facts.runtime,
            "loadSeconds": round(serving.facts.load_seconds, 3),
            "sizeBytes": serving.facts.size_bytes,
        }
    return line


def _cache(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Rows looked up, and those of them that some tier had. ``counts`` is by tier and result."""
    by_tier: Counter[str] = Counter()
    for (tier, _), count in counts.items():
        by_tier[tier] += count
    hits = sum(count for (_, result), count in counts.items() if result == "hit")
    # The first tier is asked for every row, the next only for those it lacks: the largest sum is that of the rows.
    return {"cacheLookups": max(by_tier.values(), default=0), "cacheHits": hits}


def _interface(deployment: Deployment | None) -> dict[str, Any]:
    if deployment is None:
        return {}
    texts, made_up = example_texts(deployment)
    return {
        "warnings": [one_line(warning) for warning in deployment.facts.warnings],
        "madeUp": made_up,
        "inputs": [_input(field, texts.get(field.name, "")) for field in deployment.interface.inputs],
    }


def _input(field: InputField, text: str) -> dict[str, Any]:
    return {
        "name": _printable(field.name),
        "type": str(field.dtype),
        "shape": field.shape,
        "optional": field.has_default,
        "default": _printable(text_of(field.default, bare=False)) if field.has_default else None,
        "precision": field.precision,
        "auxiliary": field.auxiliary,
        "example": _printable(text),
    }


def _printable(text: str) -> str:
    """``text`` with bytes that are not UTF-8 as question marks: JSON has no form for them."""
    return text.encode("utf-8", "replace").decode()
