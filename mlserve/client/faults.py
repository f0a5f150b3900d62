"""What a server refused, as the error that it raised: callers catch the same classes on both sides."""

from __future__ import annotations

from typing import Final

from mlserve.errors import (
    BadRequest,
    DeadlineExceeded,
    ExpectationFailed,
    Forbidden,
    HeaderTooLarge,
    InferenceFailed,
    MlserveError,
    NotCached,
    NotReady,
    Overloaded,
    RemoteError,
    RequestError,
    SlowSender,
    TooLarge,
    UnknownModel,
    UnknownRoute,
    UnsupportedEncoding,
    WrongMethod,
)

_OF_TEXT: Final[dict[str, type[RequestError]]] = {
    kind.code: kind
    for kind in (
        BadRequest,
        DeadlineExceeded,
        ExpectationFailed,
        Forbidden,
        HeaderTooLarge,
        NotCached,
        SlowSender,
        TooLarge,
        UnknownModel,
        UnknownRoute,
        UnsupportedEncoding,
    )
}
"""Those that are made of their text alone."""


def raised_by_server(error: RemoteError) -> MlserveError:
    """The :class:`~mlserve.errors.RequestError` of the same code; ``error`` itself if the server named none we know."""
    text = str(error)
    made: RequestError | None = None
    if error.code in _OF_TEXT:
        made = _OF_TEXT[error.code](text)
    elif error.code == InferenceFailed.code:
        made = InferenceFailed(text, incident="")  # it stands in the text
    elif error.code == WrongMethod.code:
        made = WrongMethod(text, allow=())
    elif error.code == Overloaded.code:
        made = Overloaded(text)
    elif error.code == NotReady.code:
        made = NotReady(text)
    if made is None:
        return error
    made.retry_after_s = error.retry_after_s
    return made
