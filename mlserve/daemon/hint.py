"""The line that a start ends with: a URL that answers."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from mlserve.serving.deployment import Deployment
from mlserve.serving.selftest import made_up_values


def example_command(base_url: str, deployment: Deployment) -> str:
    """A ``curl`` command that gets one prediction: the configured test row, or made-up values."""
    test = deployment.origin.config.test
    values = made_up_values(deployment.interface, (test and test.single) or {})
    url = f"{base_url}/v1/api/model/{deployment.model_id}/eval"
    if any(isinstance(value, list | dict) for value in values.values()):
        body = json.dumps(values, separators=(",", ":"))
        return f"curl -d '{body}' {url}" if len(body) < 400 else f"curl -d @row.json {url}"
    query = urlencode(
        {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    )
    return f"curl '{url}?{query}'"
