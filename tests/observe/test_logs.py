"""An operator would read secrets, half a line, or nothing at all, if these failed."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator

import pytest

from mlserve.errors import LoadError
from mlserve.observe.logs import configure_logging, log_event
from mlserve.serving.events import Event, ModelFailed, ModelLoaded, ModelRecovered, ModelRemoved
from tests.support.deployments import deployment


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Answers what has come to standard error; logging is put back as it was."""
    root, ours = logging.getLogger(), logging.getLogger("mlserve")
    levels = root.level, ours.level
    yield lambda: capsys.readouterr().err
    logging.captureWarnings(False)
    root.handlers.clear()  # those of pytest come and go with each phase of a test
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


class TestFormats:
    def test_text_has_time_level_and_message(self, written: Callable[[], str]) -> None:
        """For people."""
        configure_logging("text", "info")
        logging.getLogger("mlserve").info("%s serves", "m")
        assert re.fullmatch(r"\d\d:\d\d:\d\d INFO +m serves\n", written())

    def test_json_is_one_object_per_line_with_what_came_beside_the_message(self, written: Callable[[], str]) -> None:
        """For collectors: a line break or a quote in a message must not end the line."""
        configure_logging("json", "info")
        logging.getLogger("mlserve.access").info('a\n"b"', extra={"status": 200, "path": "/\udcff"})
        (line,) = written().splitlines()
        said = json.loads(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", said.pop("time"))
        assert said == {
            "level": "info",
            "logger": "mlserve.access",
            "message": 'a\n"b"',
            "status": 200,
            "path": "/\udcff",
        }

    @pytest.mark.parametrize("log_format", ["text", "json"])
    def test_secrets_stay_out_of_messages_and_tracebacks(self, written: Callable[[], str], log_format: str) -> None:
        """An exception of a store quotes the URL that it could not open."""
        configure_logging(log_format, "info")
        try:
            raise OSError("cannot open https://u:pa55@host/m?token=hush")
        except OSError as error:
            logging.getLogger("mlserve").error("no https://u:pa55@host/m", exc_info=error)
        text = written()
        assert "pa55" not in text
        assert "hush" not in text
        assert "OSError: cannot open https://***@host/m" in text
        if log_format == "json":
            assert json.loads(text)["exception"].startswith("Traceback")

    def test_libraries_speak_from_warnings_up_and_mlserve_from_its_level(self, written: Callable[[], str]) -> None:
        """Their chatter would drown the log; Python's own warnings belong in it."""
        configure_logging("text", "debug")
        logging.getLogger("somebody").info("chatter")
        logging.getLogger("mlserve.serving").debug("detail")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("old call", DeprecationWarning, stacklevel=1)
        text = written()
        assert "chatter" not in text
        assert "detail" in text
        assert "old call" in text


def failed(*, serves: bool = False, repeated: bool = False) -> ModelFailed:
    error = LoadError("cannot read\n  s3://u:pa55@bucket/m\n")
    return ModelFailed("m", error, deployment() if serves else None, 4.0, repeated)


@pytest.mark.parametrize(
    ("make", "level", "line"),
    [
        (
            lambda: ModelLoaded(deployment(), None),
            "INFO",
            "m serves: fake 1.0 (cpu), generation 0123456789ab, 1.5 MB, loaded in 0.25 s",
        ),
        (
            lambda: ModelLoaded(deployment(), deployment()),
            "INFO",
            "m replaced: fake 1.0 (cpu), generation 0123456789ab, 1.5 MB, loaded in 0.25 s",
        ),
        (
            failed,
            "ERROR",
            "m failed to load: cannot read s3://***@bucket/m (nothing serves; next try in 4 s)",
        ),
        (
            lambda: failed(serves=True),
            "ERROR",
            (
                "m failed to load: cannot read s3://***@bucket/m "
                "(generation 0123456789ab goes on serving; next try in 4 s)"
            ),
        ),
        (
            lambda: failed(repeated=True),
            "DEBUG",
            "m failed to load: cannot read s3://***@bucket/m (nothing serves; next try in 4 s)",
        ),
        (
            lambda: ModelRecovered(deployment()),
            "INFO",
            "m is well again: its source holds generation 0123456789ab",
        ),
        (lambda: ModelRemoved("m"), "INFO", "m removed"),
    ],
)
async def test_each_change_of_state_is_one_line(
    make: Callable[[], Event], level: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a runtime's error looks like, and quieter when it only says the same again."""
    with caplog.at_level(logging.DEBUG):
        log_event(make())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(level, line)]


async def test_warnings_of_a_load_follow_it(caplog: pytest.LogCaptureFixture) -> None:
    """One line each, with the model they speak of."""
    log_event(ModelLoaded(deployment(warnings=("not warmed up\nat all", "served whole")), None))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "m: not warmed up at all",
        "m: served whole",
    ]
