"""How names, places and values are put into words in the problems of a configuration."""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final

from mlserve.config.document import Entries, Items, Node, Scalar
from mlserve.config.masking import redact_value

Path = tuple[str | int, ...]
"""A member by canonical names and list positions: ``("Models", 0, "Inputs", 1, "Name")``."""

_MAX_SHOWN: Final = 60


def show_path(path: Path) -> str:
    """``Models[0].Inputs[1].Name``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def suggest(name: str, choices: list[str]) -> str:
    """``did you mean X?``, or what there is to choose from."""
    name = name[:_MAX_SHOWN]
    folded = {_fold(choice): choice for choice in reversed(choices)}
    if near := get_close_matches(_fold(name), folded, n=1, cutoff=0.6):
        return f"did you mean {folded[near[0]]}?"
    return f"there are: {', '.join(choices)}"


def _fold(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def expectation(kind: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        timedelta: "a duration such as 2ms or 15m",
    }
    return names.get(kind, "one value")


def described(node: Node) -> str:
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a mapping"
    if node.value is None:
        return "nothing"
    kinds = {bool: "the boolean ", int: "the number ", float: "the number ", str: "the text "}
    return kinds[type(node.value)] + shown(node)


def shown(node: Node) -> str:
    """A value for an error: as written in the file, so that nothing of the environment is shown, and no secret."""
    if not isinstance(node, Scalar):
        return described(node)
    return clip(redact_value(node.text if node.written is None else node.written)) or "''"


def clip(text: str) -> str:
    line = text if text.isprintable() else ascii(text)[1:-1]
    return line if len(line) <= _MAX_SHOWN else line[: _MAX_SHOWN - 1] + "…"
