"""Every error mlserve raises on purpose, in one tree.

::

    MlserveError
    +-- RequestError              one request; each leaf has a ``code`` that protocols map to a status
    |   +-- BadRequest            bad_request           what came is not what the model or the protocol takes
    |   +-- Forbidden             forbidden             the peer is outside ``AllowedSubnet``
    |   +-- UnknownModel          unknown_model
    |   +-- UnknownRoute          unknown_route
    |   +-- WrongMethod           wrong_method
    |   +-- SlowSender            slow_sender           header or body took longer than ``ReadTimeoutMs``
    |   +-- TooLarge              too_large             a body or a number of rows over its limit
    |   +-- UnsupportedEncoding   unsupported_encoding  a body with a Content-Encoding
    |   +-- ExpectationFailed     expectation_failed    an Expect other than 100-continue
    |   +-- HeaderTooLarge        header_too_large
    |   +-- Overloaded            overloaded            a bounded queue is full; try again
    |   +-- InferenceFailed       inference_failed      the model or transformer raised; the log has the cause
    |   +-- NotReady              not_ready             the model is loading, has failed, or is draining
    |   +-- NotCached             not_cached            only-if-cached was asked for, and rows are missing
    |   +-- DeadlineExceeded      deadline_exceeded
    +-- ClientError               a server was asked and gave no answer; what ``mlserve.client`` raises
    |   +-- Unreachable           no connection could be made
    |   +-- Interrupted           the connection ended before the answer was whole
    |   +-- TimedOut              no answer within the client's timeout
    |   +-- BadAnswer             what came is no answer of an mlserve
    |   +-- RemoteError           the server answered with an error: its status, code and text
    +-- SetupError                something an operator or model author can mend
        +-- ConfigError           the configuration, with every problem and its place
        +-- SourceError           a model's URL cannot be listed or copied
        +-- LoadError             the artefact is there and cannot be served
            +-- MissingPackage    an optional package is not installed; says the command

Texts of :class:`RequestError` go to clients: they name the field, what came and what was expected, and never hold
raw bytes of a request, a path, or a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class MlserveError(Exception):
    """Root of the tree: catch it for "anything mlserve says"."""


class RequestError(MlserveError):
    """One request cannot be answered. ``retry_after_s`` is set where trying again may help."""

    code: ClassVar[str] = "internal"
    retry_after_s: float | None = None


class BadRequest(RequestError):
    """What came is not what the model or the protocol takes. ``field`` names the input at fault, if it is one."""

    code = "bad_request"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Forbidden(RequestError):
    """The peer's address is not in ``AllowedSubnet``."""

    code = "forbidden"


class UnknownModel(RequestError):
    """No model of that id is configured."""

    code = "unknown_model"


class UnknownRoute(RequestError):
    """Nothing is served under that path."""

    code = "unknown_route"


class WrongMethod(RequestError):
    """The path exists, the verb does not fit; ``allow`` lists those that do."""

    code = "wrong_method"

    def __init__(self, message: str, *, allow: Sequence[str]) -> None:
        super().__init__(message)
        self.allow = tuple(allow)


class SlowSender(RequestError):
    """The request was not complete within ``ReadTimeoutMs``."""

    code = "slow_sender"


class TooLarge(RequestError):
    """A body over ``BufferSize`` or more rows than ``MaxRows``."""

    code = "too_large"


class UnsupportedEncoding(RequestError):
    """A request body is compressed; limits count the bytes that arrive, so bodies come as they are."""

    code = "unsupported_encoding"


class ExpectationFailed(RequestError):
    """An ``Expect`` header asks for something other than ``100-continue``."""

    code = "expectation_failed"


class HeaderTooLarge(RequestError):
    """Request line and headers over ``MaxHeaderBytes``."""

    code = "header_too_large"


class Overloaded(RequestError):
    """A bounded queue is full."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InferenceFailed(RequestError):
    """The model or its transformer raised. ``incident`` also stands in the log, beside the cause."""

    code = "inference_failed"

    def __init__(self, message: str, *, incident: str) -> None:
        super().__init__(message)
        self.incident = incident


class NotReady(RequestError):
    """The model is configured and does not serve now."""

    code = "not_ready"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotCached(RequestError):
    """The caller wants nothing computed (``Cache-Control: only-if-cached``), and rows are not cached."""

    code = "not_cached"


class DeadlineExceeded(RequestError):
    """The caller's deadline passed first."""

    code = "deadline_exceeded"


class ClientError(MlserveError):
    """A server was asked and gave no answer. Its leaves say why; itself, that the client was closed."""


class Unreachable(ClientError):
    """No connection could be made."""


class Interrupted(ClientError):
    """The connection ended before the answer was whole: the request may have run or not."""


class TimedOut(ClientError):
    """No answer within the client's timeout, tries again included."""


class BadAnswer(ClientError):
    """What came is no answer of an mlserve: something else listens there, or is in between."""


class RemoteError(ClientError):
    """The server answered with an error. ``code`` is one of :class:`RequestError`'s, or empty if it said none."""

    def __init__(self, message: str, *, status: int, code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class SetupError(MlserveError):
    """Something an operator or model author can mend."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration: where (``file:line``), which key (``Models[0].Inputs[1].Name``), what."""

    place: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class ConfigError(SetupError):
    """A configuration that cannot be used; holds every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class SourceError(SetupError):
    """A model's URL cannot be listed or copied, or does not stand still."""


class LoadError(SetupError):
    """The artefact was copied and cannot be served."""


class MissingPackage(LoadError):
    """A package that this backend, store or URL needs is not installed."""

    def __init__(self, needed_by: str, package: str, extra: str) -> None:
        super().__init__(f"{needed_by} needs the package {package}: run  pip install 'mlserve[{extra}]'")
        self.package = package
        self.extra = extra
