"""``${VAR}`` and ``${VAR:-default}`` in the scalars of a parsed document; ``$${`` stands for a literal ``${``.

Substitution comes after parsing, so a value is content and never structure. A plain scalar is typed again with the
value in it (``Port: ${PORT}`` is an integer, an empty one is as if the key were not there); a quoted one stays text.
Keys are left alone. As in a shell, the default also stands for a variable that is set and empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mlserve.config.document import Entries, Items, Node, Scalar
from mlserve.errors import Problem

_REFERENCE: Final = re.compile(
    r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:(?!\$\{)[^}])*))?\})?"
)


def substitute(root: Node, environ: Mapping[str, str], place: str) -> tuple[Node, list[Problem]]:
    """``root`` with every reference replaced, and a problem at ``place:line`` for each that cannot be."""
    problems: dict[Problem, None] = {}  # an ordered set: an alias brings the same scalar here more than once

    def visit(node: Node) -> Node:
        match node:
            case Scalar():
                return fill(node) if "${" in node.text else node
            case Items():
                return replace(node, items=tuple(visit(item) for item in node.items))
            case Entries():
                pairs = tuple((key, visit(value)) for key, value in node.pairs)
                merged = tuple(source for source in map(visit, node.merged) if isinstance(source, Entries))
                return replace(node, pairs=pairs, merged=merged)

    def fill(scalar: Scalar) -> Scalar:
        def value(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match[0] == "$${":
                return "${"
            if name is None:
                complain("a ${ that is neither ${NAME} nor ${NAME:-default}; write $${ for a literal ${")
            elif default is not None:
                return environ.get(name) or default
            elif name in environ:
                return environ[name]
            else:
                complain(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
            return match[0]

        def complain(message: str) -> None:
            problems[Problem(f"{place}:{scalar.line}", "", message)] = None

        filled = _REFERENCE.sub(value, scalar.text)
        return replace(scalar, text=filled, written=scalar.text)

    return visit(root), list(problems)
