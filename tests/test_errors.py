"""Errors would lose their code, their hint or their place in the tree, if these failed."""

from __future__ import annotations

import inspect

import pytest

from mlserve import errors
from mlserve.errors import (
    BadRequest,
    ConfigError,
    InferenceFailed,
    LoadError,
    MissingPackage,
    MlserveError,
    NotReady,
    Overloaded,
    Problem,
    RequestError,
    SetupError,
    WrongMethod,
)

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MlserveError)]
LEAVES = [kind for kind in KINDS if issubclass(kind, RequestError) and kind is not RequestError]


@pytest.mark.parametrize("kind", KINDS)
def test_all_are_in_one_tree_that_the_module_draws(kind: type[MlserveError]) -> None:
    """Callers catch by the picture at the top of the file."""
    assert f"+-- {kind.__name__}" in (errors.__doc__ or "") or kind is MlserveError


@pytest.mark.parametrize("kind", LEAVES)
def test_each_code_is_its_name_and_stands_in_the_picture(kind: type[RequestError]) -> None:
    """Codes are a promise to users, and no two errors may share one."""
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).lstrip("_")
    assert kind.code == words
    assert kind.code in (errors.__doc__ or "").split()


def test_setup_and_request_errors_are_apart() -> None:
    """A caller of the server must never be answered with what is the operator's."""
    assert not issubclass(SetupError, RequestError)
    assert not issubclass(RequestError, SetupError)
    assert issubclass(MissingPackage, LoadError)


def test_only_what_may_pass_says_when_to_try_again() -> None:
    """A retry of a bad request is a waste of everybody's time."""
    assert Overloaded("full").retry_after_s == 1.0
    assert NotReady("loading", retry_after_s=5.0).retry_after_s == 5.0
    assert BadRequest("no").retry_after_s is None
    assert InferenceFailed("no", incident="1").retry_after_s is None


def test_details_travel_beside_the_text() -> None:
    """Protocols put them where their form has a place for them."""
    assert BadRequest("no", field="x").field == "x"
    assert WrongMethod("no", allow=["GET"]).allow == ("GET",)
    assert InferenceFailed("no", incident="1f").incident == "1f"


def test_a_configuration_s_error_shows_every_problem_with_its_place() -> None:
    """One at a time would be a run per mistake."""
    problems = [Problem("c.yaml:3", "Models[0].URL", "is missing"), Problem("c.yaml", "", "is empty")]
    error = ConfigError(problems)
    assert str(error) == "c.yaml:3: Models[0].URL: is missing\nc.yaml: is empty"
    assert error.problems == tuple(problems)


def test_a_missing_package_says_what_to_run() -> None:
    """The one thing to do next."""
    error = MissingPackage("s3://bucket", "s3fs", "s3")
    assert str(error) == "s3://bucket needs the package s3fs: run  pip install 'mlserve[s3]'"
    assert (error.package, error.extra) == ("s3fs", "s3")
