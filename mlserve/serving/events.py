"""What happens to models, as frozen records. The manager hands each to its listeners: the log and the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlserve.errors import SetupError
from mlserve.serving.deployment import Deployment


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A version passed its tests and serves. ``replaced`` is the version before it, which now drains."""

    deployment: Deployment
    replaced: Deployment | None

    @property
    def model_id(self) -> str:
        return self.deployment.model_id


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A version could not be made. ``serving`` is the version that goes on, if there is one."""

    model_id: str
    error: SetupError
    serving: Deployment | None
    retry_s: float
    repeated: bool
    """True if the last attempt failed with the same words: worth counting, not worth another line in the log."""


@dataclass(frozen=True, slots=True)
class ModelRecovered:
    """After failures, what lies at the URL is the version that serves: nothing to load, healthy again."""

    deployment: Deployment

    @property
    def model_id(self) -> str:
        return self.deployment.model_id


@dataclass(frozen=True, slots=True)
class ModelRemoved:
    """The configuration no longer names the model."""

    model_id: str


Event = ModelLoaded | ModelFailed | ModelRecovered | ModelRemoved
Listener = Callable[[Event], None]
