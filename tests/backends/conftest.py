"""What several tests of backends stand on."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlserve.backends.tensorflow_runtime import import_tensorflow


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    """TensorFlow, imported as the backend does."""
    return import_tensorflow()


@pytest.fixture
def lenient() -> Iterator[None]:
    """For tests that save models: TensorFlow and Keras warn about themselves while they do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def mly_models() -> Path:
    """The SavedModels that viant/mly ships, saved by TensorFlow 2.4."""
    return Path(__file__).parents[1] / "data" / "mly"


@pytest.fixture(scope="session")
def expected(mly_models: Path) -> list[dict[str, Any]]:
    """Requests and answers of those models."""
    cases: list[dict[str, Any]] = json.loads((mly_models / "expected.json").read_text(encoding="utf-8"))
    return cases
