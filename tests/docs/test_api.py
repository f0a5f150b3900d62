"""``docs/api.md`` has every route, every error and every header that clients and load balancers meet."""

from __future__ import annotations

import re
from typing import Any, cast

from mlserve import errors, registry
from mlserve.config.load import parse_config
from mlserve.observe.metrics import Metrics
from mlserve.transport.access import Access, Guard
from mlserve.transport.admin import READ, Admin
from mlserve.transport.explain import ExplainHandler
from mlserve.transport.mly.meta import MetaHandler
from mlserve.transport.status import STATUS
from mlserve.types import DType
from tests.support.markdown import ROOT, code, rows_of

PAGE = ROOT / "docs" / "api.md"
EXPLAIN = "/v1/api/model/<id>/explain"
META = "/v1/api/model/<id>/meta/"

ROUTES = {
    route: (tuple(methods.split(", ")), open_to)
    for routes, (methods, open_to, _) in rows_of(PAGE, "Route").items()
    for route in code(routes)
}


def test_every_fixed_route_has_a_row_that_says_who_may_ask() -> None:
    """An operator opens a port to the world by a table that is wrong."""
    loaded = parse_config("Models: [{ID: m, URL: m.onnx}]", place="c.yaml", environ={})
    admin = Admin(cast("Any", None), Metrics(), loaded, Guard(()))
    words = {
        Access.ANYONE: "all",
        Access.ALLOWED: "`AllowedSubnet`",
        Access.LOOPBACK: "`AllowedSubnet`, or this machine",
    }
    documented = {route: row for route, row in ROUTES.items() if "<id>" not in route}
    served = admin._routes | {f"{start}<name>": route for start, route in admin._below.items()}
    assert documented == {path: (READ, words[route.access]) for path, route in served.items()}


def test_every_protocol_has_a_row() -> None:
    protocols = [registry.resolve("protocols", name)() for name in registry.names("protocols")]
    templates = {route: methods for route, (methods, _) in ROUTES.items() if "<id>" in route}
    for route in (EXPLAIN, *(route for route in ROUTES if route.startswith(META))):
        del templates[route]
    for protocol in protocols:
        taken = [route for route in templates if protocol.match(route.replace("<id>", "m")) == "m"]
        assert [templates[route] for route in taken] == [protocol.methods]
    assert len(templates) == len(protocols)


def test_explain_has_a_row() -> None:
    """It shows what callers asked for: who may see that must be told."""
    assert ExplainHandler.match(EXPLAIN.replace("<id>", "m")) == "m"
    assert ROUTES[EXPLAIN] == (READ, "`AllowedSubnet`, or this machine")


def test_each_document_for_clients_of_mly_has_a_row() -> None:
    """They are open to all, since such clients come from where callers come from."""
    documented = {route: row for route, row in ROUTES.items() if route.startswith(META)}
    assert set(documented.values()) == {(READ, "all")}
    asked = [MetaHandler.match(route.replace("<id>", "m")) for route in documented]
    assert asked == [("m", name) for name in ("config", "dictionary", "stats")]


def test_every_error_has_a_row_with_its_status() -> None:
    """A client that retries by this table must not meet a code it does not know."""
    documented = {code(name)[0]: int(status) for name, (status, _) in rows_of(PAGE, "Code").items()}
    raised = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RequestError)
    }
    assert raised <= documented.keys()
    assert documented == STATUS


def test_every_header_of_ours_has_a_row() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "mlserve" / "transport").rglob("*.py"))
    used = set(re.findall(r'"(X-[A-Za-z-]+|Retry-After|Allow|Cache-[A-Za-z]+|Content-Encoding)"', sources))
    documented = {*rows_of(PAGE, "Request header"), *rows_of(PAGE, "Response header")}
    assert used
    assert {f"`{name}`" for name in used} <= documented


def test_every_type_of_input_has_a_row() -> None:
    named = [name for names in rows_of(PAGE, "Input") for name in code(names)]
    ranges = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
    assert {"int8", "int64", "uint8", "uint64"} <= set(named)
    assert set(named) | ranges == {str(dtype) for dtype in DType} - {"json"}
