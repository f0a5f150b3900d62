"""The line that a start ends with: a URL that answers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from mlserve.serving.deployment import Deployment
from mlserve.serving.selftest import made_up_values

_LONGEST: Final = 400
"""Characters of a body that may stand in a line of the log."""


def example_command(base_url: str, deployment: Deployment) -> str:
    """A ``curl`` command that gets one prediction: the configured test row, or made-up values."""
    test = deployment.origin.config.test
    values = made_up_values(deployment.interface, (test and test.single) or {})
    url = f"{base_url}/v1/api/model/{deployment.model_id}/eval"
    if any(value is None or isinstance(value, list | dict) for value in values.values()):
        body = json.dumps(values, separators=(",", ":"))
        return f"curl -d {shlex.quote(body) if len(body) < _LONGEST else '@row.json'} {shlex.quote(url)}"
    return f"curl {shlex.quote(f'{url}?{_query(values)}')}"


def _query(values: Mapping[str, Any]) -> str:
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    return urlencode(texts, errors="surrogateescape")
