"""``docs/commands.md`` has every command and option of the command line, and none that there is not."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from mlserve import cli
from tests.support.markdown import ROOT, code, rows_of

PAGE = ROOT / "docs" / "commands.md"


def parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from (option for option in action.option_strings if not isinstance(action, argparse._HelpAction))


def test_every_command_has_a_row() -> None:
    shown = " ".join(rows_of(PAGE, "Command"))
    assert set(parsers()) == set(cli.COMMANDS)
    assert [name for name in cli.COMMANDS if f"mlserve {name} " not in shown] == []
    assert [
        option for action in cli._parser()._actions for option in action.option_strings if option not in shown
    ] == []


def test_every_option_has_a_row_that_says_whose_it_is() -> None:
    """Somebody gives an option to the wrong command, or never learns that there is one."""
    every = set(parsers())
    documented = {
        option: every if of == "all" else set(of.split(", "))
        for names, (of, _) in rows_of(PAGE, "Option").items()
        for option in code(names)
    }
    taken: dict[str, set[str]] = {}
    for name, parser in parsers().items():
        for option in options(parser):
            taken.setdefault(option, set()).add(name)
    assert documented == taken
