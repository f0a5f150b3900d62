"""Which requests ask a model: by the protocols' own paths."""

from __future__ import annotations

from collections.abc import Sequence

from mlserve.contracts.protocol import Protocol

Evaluation = tuple[Protocol, str]
"""The protocol of a path, and the id of the model that it asks."""


def evaluation(protocols: Sequence[Protocol], path: str) -> Evaluation | None:
    """What ``path`` asks by the first of ``protocols`` that knows it; ``None`` if it is no evaluation."""
    for protocol in protocols:
        model_id = protocol.match(path)
        if model_id is not None:
            return protocol, model_id
    return None
