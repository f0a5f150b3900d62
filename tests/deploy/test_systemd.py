"""The unit starts the command there is, gives it time to stop, and confines it no more than it bears."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mlserve.cli import _parser
from mlserve.config.schema import EndpointConfig
from tests.support.stopping import longest_stop_s

UNIT = Path(__file__).parents[2] / "deploy" / "mlserve.service"
SETTINGS = re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)


def values(name: str) -> list[str]:
    """What the unit says about ``name``, once for each time it says it."""
    return [value for key, value in SETTINGS if key == name]


def value(name: str) -> str:
    """What the unit says about ``name``, which it says once."""
    (only,) = values(name)
    return only


def test_starts_a_command_that_there_is() -> None:
    command, *arguments = shlex.split(value("ExecStart"))
    assert command.endswith("/bin/mlserve")
    options = _parser().parse_args(arguments)
    assert (options.command, options.config) == ("serve", "/etc/mlserve/config.yaml")


def test_waits_for_the_longest_stop() -> None:
    """SIGKILL in the middle of a drain cuts answers short."""
    assert int(value("TimeoutStopSec")) >= longest_stop_s(EndpointConfig())


def test_tells_how_much_wait_fits_besides() -> None:
    """The comment is what people go by when they set ShutdownWaitMs."""
    (longest, spare) = re.findall(r"(\d+) s by default, and up to (\d+) s", UNIT.read_text())[0]
    assert int(longest) == longest_stop_s(EndpointConfig())
    assert int(longest) + int(spare) == int(value("TimeoutStopSec"))


def test_only_the_server_hears_sigterm() -> None:
    """A child of a Python model that ends at once fails the requests that still drain."""
    assert value("KillMode") == "mixed"
    assert value("ExecReload").split()[1] == "-HUP"


def test_lets_tensorflow_write_machine_code() -> None:
    """With it the process dies of SIGSEGV as soon as TensorFlow runs a model."""
    assert value("MemoryDenyWriteExecute") == "no"


def test_copies_of_models_have_a_place_that_can_be_written() -> None:
    """All else is read-only: without it no model loads."""
    assert value("ProtectSystem") == "strict"
    assert f"TMPDIR=%C/{value('CacheDirectory')}" in value("Environment").split()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("RestrictNamespaces", "yes"),
        ("LockPersonality", "yes"),
        ("SystemCallArchitectures", "native"),
    ],
)
def test_has_no_more_rights_than_it_needs(setting: str, expected: str) -> None:
    """A model file is code: what it may reach is what the unit leaves."""
    assert value(setting) == expected


def test_speaks_to_networks_and_local_sockets_only() -> None:
    assert set(value("RestrictAddressFamilies").split()) == {"AF_INET", "AF_INET6", "AF_UNIX"}
    assert values("SystemCallFilter")[0] == "@system-service"
