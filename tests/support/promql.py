"""What a PromQL expression asks for: enough of its grammar for the expressions that we ship."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SELECTOR = re.compile(r"\b(?P<name>(?:mlserve|process|python)_\w+)(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_OF_SCRAPE = frozenset({"job", "instance"})
"""Labels that Prometheus adds."""


@dataclass(frozen=True, slots=True)
class Selected:
    """One metric, and the labels that the expression uses of it."""

    name: str
    labels: frozenset[str]


def selected(expression: str) -> list[Selected]:
    """Every metric in ``expression``, with the labels of its own selector and of every grouping."""
    grouped = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}
    bare = _GROUPING.sub("", expression)
    return [
        Selected(match["name"], frozenset({*_MATCHER.findall(match["matchers"] or ""), *grouped} - _OF_SCRAPE))
        for match in _SELECTOR.finditer(bare)
    ]
