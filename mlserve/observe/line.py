"""Words from anywhere as one line that may be shown: errors of runtimes run over many lines and name URLs."""

from __future__ import annotations

from mlserve.config.redact import redact_url


def one_line(text: str) -> str:
    """``text`` without line breaks and without secrets."""
    return " ".join(redact_url(text).split())
