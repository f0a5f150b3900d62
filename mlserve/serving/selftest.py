"""What a version must do before it serves: warm up, and pass the self-test of its configuration (``Test``).

Values that nobody gave are made up, as in mly: ints and floats by a seeded generator, strings ``test-<int>``. A made-up
row may be one that the model rightly refuses, so only a configured ``Test`` can fail a version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from mlserve.config.schema import ModelConfig, TestConfig
from mlserve.errors import InferenceFailed, LoadError, RequestError
from mlserve.types import CacheUse, Context, InputField, Interface, Predict, Rows, Serving
from mlserve.values import agrees, plain_row, rows_from_values

MAX_TEST_ROWS: Final = 10_000


def made_up_values(interface: Interface, given: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """One row: ``given`` as it is (names the model lacks too, so that decoding refuses them), the rest made up."""
    random = Random(seed)  # noqa: S311  # test values, no secrets
    return {field.name: _made_up(field, random) for field in interface.inputs} | dict(given)


def _made_up(field: InputField, random: Random) -> Any:
    def nested(shape: Sequence[int | None]) -> Any:
        if shape:
            return [nested(shape[1:]) for _ in range(shape[0] or 1)]
        if field.dtype.is_complex:
            return [random.random(), random.random()]
        if field.dtype.is_float:
            return random.random()
        if field.dtype.is_integer:
            return random.randrange(100)  # fits every integer type
        return bool(random.randrange(2)) if field.dtype == "bool" else f"test-{random.randrange(2**31)}"

    return nested(field.shape or ())


def sample_rows(interface: Interface, test: TestConfig | None, count: int) -> Rows:
    """One row ``count`` times: the configured test row, what it leaves out made up."""
    given = (test and test.single) or {}
    values = made_up_values(interface, given)
    if interface.serving is Serving.WHOLE:
        return rows_from_values(interface, values, batch_size=None, max_rows=1)[0]
    row, _ = rows_from_values(interface, values, batch_size=None, max_rows=1)
    return row.take([0] * count)


async def self_test(config: ModelConfig, interface: Interface, predict: Predict, deadline: float) -> None:
    """Runs ``Test``. Raises :class:`LoadError` with the row and what was expected of it."""
    test = config.test
    if test is None:
        return
    for case in _cases(test, interface):
        try:
            rows, batch = rows_from_values(interface, case.values, batch_size=case.batch_size, max_rows=MAX_TEST_ROWS)
            answer = await predict(rows, Context(deadline, request_id="self-test", cache=CacheUse.NO_STORE))
        except RequestError as error:
            raise LoadError(f"self-test {case.name}: {_in_words(error)}") from error
        if case.compared:
            got = [plain_row(answer, index) for index in range(answer.count)]
            for output, expected in (test.expect or {}).items():
                values = [row[output] for row in got if output in row]
                if not values:
                    raise LoadError(f"self-test {case.name}: Expect names {output!r}; outputs are: {', '.join(got[0])}")
                found = values if batch else values[0]
                if not agrees(found, expected, test.tolerance):
                    raise LoadError(
                        f"self-test {case.name}: output {output!r} is {found!r}, expected {expected!r} "
                        f"within {test.tolerance:g}"
                    )


def _in_words(error: RequestError) -> str:
    """What callers must not see and operators should: the model's own error, and not the incident it is logged under.

    (Which is another one each time, so that a failure that repeats would not look like one.)
    """
    if isinstance(error, InferenceFailed) and error.__cause__ is not None:
        return f"the run failed: {type(error.__cause__).__name__}: {error.__cause__}"
    return str(error)


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    values: dict[str, Any]
    batch_size: int | None
    compared: bool
    """``Expect`` speaks of the Single row if there is one, else of the Batch."""


def _cases(test: TestConfig, interface: Interface) -> Iterator[_Case]:
    single = made_up_values(interface, test.single or {})
    if test.single is not None or test.test or (test.expect and test.batch is None):
        yield _Case("Single", single, None, compared=True)
    if test.single_batch:
        yield _Case("SingleBatch", single, 1, compared=False)
    if test.batch is not None:
        yield _Case("Batch", dict(test.batch), None, compared=test.single is None)
