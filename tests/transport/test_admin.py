"""Load balancers and operators would be told something untrue, or strangers anything at all, if these failed."""

from __future__ import annotations

from typing import cast

import pytest

from mlserve.config.load import LoadedConfig
from mlserve.config.schema import Config, ConnectionConfig, DatastoreConfig, ModelConfig
from mlserve.errors import Forbidden, UnknownRoute, WrongMethod
from mlserve.observe.metrics import Metrics
from mlserve.serving.manager import Manager
from mlserve.transport.access import Guard
from mlserve.transport.admin import Admin
from mlserve.transport.page.assets import PAGE
from tests.support.deployments import deployment
from tests.support.eval_requests import FakeManager, loaded_config, request, said
from tests.support.exercised import FakeStats

OPEN = (*PAGE, "/healthz", "/readyz")
GMETRIC = (
    "/v1/api/metric/operations",
    "/v1/api/metric/operation/mPerf",
    "/v1/api/metric/operation/mPerf/recent",
    "/v1/api/metric/operation/mPerf/recent/count",
    "/v1/api/metric/operation/mPerf/cumulative/eval.pct",
    "/v1/api/metric/counters",
    "/v1/api/metric/counter/mLogPerf_Done",
)
PROFILES = ("/v1/api/debug/pprof/profile", "/v1/api/debug/memprof")
GUARDED = (
    *GMETRIC,
    "/metrics",
    "/v1/prometheus",
    "/v1/api/health",
    "/v1/api/models",
    "/v1/api/config",
    "/v1/api/config/",
)


def loaded(*subnets: str) -> LoadedConfig:
    return loaded_config(Config(allowed_subnet=subnets))


def admin(manager: FakeManager | None = None, config: LoadedConfig | None = None) -> Admin:
    made = manager or FakeManager({"m": deployment()})
    shown = config or loaded()
    return Admin(cast("Manager", made), Metrics(), shown, Guard(shown.config.allowed_subnet))


class TestRouting:
    @pytest.mark.parametrize("path", OPEN + GUARDED)
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_every_route_answers_both_verbs(self, path: str, method: str) -> None:
        """The carrier drops the body of a HEAD."""
        response = await admin()(request(path, method=method))
        assert response.status == 200
        assert response.body

    @pytest.mark.parametrize("path", OPEN + GUARDED)
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
    async def test_other_verbs_are_told_which_are_right(self, path: str, method: str) -> None:
        """Nothing here changes anything."""
        with pytest.raises(WrongMethod) as caught:
            await admin()(request(path, method=method))
        assert caught.value.allow == ("GET", "HEAD")

    @pytest.mark.parametrize("path", ["/nowhere", "/healthz/", "//", "/v1/api/health/", "/METRICS", ""])
    async def test_what_is_nowhere_points_to_what_there_is(self, path: str) -> None:
        """Paths are exact; the text says where to look, without repeating what was asked."""
        with pytest.raises(UnknownRoute, match="GET / lists") as caught:
            await admin()(request(path))
        assert "METRICS" not in str(caught.value)


class TestAllowedSubnet:
    @pytest.mark.parametrize("path", GUARDED)
    @pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::5"])
    async def test_peers_inside_may_ask(self, path: str, peer: str) -> None:
        """Also on a dual-stack socket, where an IPv4 peer looks like IPv6."""
        assert (await admin(config=loaded("10.1.", "2001:db8::/32"))(request(path, peer=peer))).status == 200

    @pytest.mark.parametrize("path", GUARDED)
    @pytest.mark.parametrize("peer", ["10.10.2.3", "::ffff:10.10.2.3", "127.0.0.1", "::1", "2001:db9::5", ""])
    async def test_peers_outside_may_not(self, path: str, peer: str) -> None:
        """``10.1.`` is no prefix of text; loopback is no exception."""
        with pytest.raises(Forbidden, match="AllowedSubnet"):
            await admin(config=loaded("10.1.", "2001:db8::/32"))(request(path, peer=peer))

    @pytest.mark.parametrize("path", OPEN)
    async def test_probes_and_the_page_stay_open(self, path: str) -> None:
        """A load balancer may come from anywhere."""
        assert (await admin(config=loaded("10.1."))(request(path, peer="8.8.8.8"))).status == 200

    @pytest.mark.parametrize("path", GUARDED)
    async def test_an_empty_list_is_open(self, path: str) -> None:
        """As in mly."""
        assert (await admin()(request(path, peer="8.8.8.8"))).status == 200

    async def test_strangers_learn_nothing_from_verbs(self) -> None:
        """The answer is the same whatever they send."""
        with pytest.raises(Forbidden):
            await admin(config=loaded("10.1."))(request("/metrics", method="POST", peer="8.8.8.8"))


class TestProfiles:
    """Those who may take one learn what runs here, and cost processor time."""

    @pytest.mark.parametrize("path", PROFILES)
    @pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
    async def test_this_machine_may_ask_if_nobody_is_named(self, path: str, peer: str) -> None:
        """The switch decides then, with a text that names it."""
        with pytest.raises(UnknownRoute, match=r"Enable(CPU|Mem)Prof: true"):
            await admin()(request(path, peer=peer))

    @pytest.mark.parametrize("path", PROFILES)
    async def test_others_may_not(self, path: str) -> None:
        """Unlike metrics, which an empty list leaves open; and whether it is on is not told."""
        for config in (Config(), Config(enable_cpu_prof=True, enable_mem_prof=True)):
            with pytest.raises(Forbidden, match="this machine alone"):
                await admin(config=loaded_config(config))(request(path, peer="8.8.8.8"))

    @pytest.mark.parametrize("path", PROFILES)
    async def test_once_peers_are_named_only_they_may(self, path: str) -> None:
        """Loopback is no exception."""
        made = admin(
            config=loaded_config(Config(allowed_subnet=("10.1.",), enable_cpu_prof=True, enable_mem_prof=True))
        )
        assert (await made(request(path, method="HEAD", peer="10.1.2.3"))).status == 200
        with pytest.raises(Forbidden):
            await made(request(path, method="HEAD"))

    async def test_a_snapshot_knows_the_caches_of_this_server(self) -> None:
        """They are most of its memory, and bounded by the configuration."""
        metrics = Metrics()
        metrics.watch_datastore("hot", FakeStats(used_bytes=1 << 20))
        config = loaded_config(Config(enable_mem_prof=True))
        made = Admin(cast("Manager", FakeManager()), metrics, config, Guard(()))
        response = await made(request("/v1/api/debug/memprof"))
        assert b"hot" in response.body


class TestReadiness:
    async def test_ready(self) -> None:
        """The plain case."""
        response = await admin()(request("/readyz"))
        assert (response.status, said(response)) == (200, {"status": "ready", "models": {}})
        assert "Retry-After" not in response.headers

    async def test_not_ready_says_which_model_and_why_on_one_line(self) -> None:
        """Without the secrets that an error of a store may quote."""
        error = "cannot list s3://key:pa55@bucket/m:\n  403\n  Forbidden"
        manager = FakeManager({"m": deployment(), "loading": None, "broken": None}, {"broken": error}, ready=False)
        response = await admin(manager)(request("/readyz"))
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        body = said(response)
        assert body["status"] == "not ready"
        assert body["models"].keys() == {"loading", "broken"}
        assert body["models"]["loading"] == "loading"
        assert body["models"]["broken"].endswith("403 Forbidden")
        assert "pa55" not in body["models"]["broken"]

    async def test_ready_in_spite_of_one_model_still_names_it(self) -> None:
        """Only the manager decides what is ready; the reasons are for people."""
        manager = FakeManager({"m": deployment(), "optional": None}, {"optional": "no such file"})
        response = await admin(manager)(request("/readyz"))
        assert response.status == 200
        assert said(response) == {"status": "ready", "models": {"optional": "no such file"}}

    async def test_draining_is_not_ready_while_the_process_lives(self) -> None:
        """Load balancers must look elsewhere; supervisors must not restart."""
        made = admin()
        made.draining = True
        response = await made(request("/readyz"))
        assert (response.status, said(response)["status"]) == (503, "draining")
        assert response.headers["Retry-After"] == "1"
        assert (await made(request("/healthz"))).status == 200


async def test_health_is_1_where_the_last_load_was_well() -> None:
    """As in mly: 0 also while an older version goes on serving; keys sorted; always 200."""
    manager = FakeManager(
        {"well": deployment(), "stale": deployment(), "loading": None, "broken": None},
        {"stale": "bad weights", "broken": "no such file"},
        ready=False,
    )
    response = await admin(manager)(request("/v1/api/health"))
    assert response.status == 200
    assert response.body == b'{"broken":0,"loading":0,"stale":0,"well":1}'


@pytest.mark.parametrize("path", ["/v1/api/config", "/v1/api/config/"])
async def test_the_configuration_is_shown_without_secrets(path: str) -> None:
    """And it is the one that applies now."""
    made = admin()
    made.configure(
        loaded_config(
            Config(
                models=(ModelConfig(id="m", url="https://u:pa55@host/m.onnx?token=hush"),),
                connections=(ConnectionConfig(id="c", url="redis://:pa55@host"),),
            )
        )
    )
    response = await made(request(path))
    assert said(response)["Models"][0]["ID"] == "m"
    assert b"pa55" not in response.body
    assert b"hush" not in response.body


class TestMetrics:
    async def test_the_same_numbers_as_mly_tells_them(self) -> None:
        """With the datastores of the configuration that applies now."""
        metrics = Metrics()
        metrics.request("m", "eval", 200, 0.001)
        made = Admin(cast("Manager", FakeManager()), metrics, loaded(), Guard(()))
        assert (await made(request("/v1/api/metric/operation/mPerf/cumulative/count"))).body == b"1\n"
        assert (await made(request("/v1/api/metric/operation/hot"))).body == b"null\n"
        models = (ModelConfig(id="m", url="m.onnx", data_store="hot"),)
        made.configure(loaded_config(Config(models=models, datastores=(DatastoreConfig(id="hot"),))))
        assert said(await made(request("/v1/api/metric/operation/hot")))["Name"] == "hot"

    @pytest.mark.parametrize("path", ["/metrics", "/v1/prometheus"])
    async def test_as_prometheus_text(self, path: str) -> None:
        """What a scraper without preferences reads."""
        response = await admin()(request(path))
        assert response.content_type.startswith("text/plain; version=0.0.4")
        assert b"mlserve_build_info{" in response.body

    async def test_as_openmetrics_where_it_is_asked_for(self) -> None:
        """What Prometheus itself asks for."""
        response = await admin()(request("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"}))
        assert response.content_type.startswith("application/openmetrics-text")
        assert response.body.endswith(b"# EOF\n")

    @pytest.mark.parametrize(
        "accept", ["\r\nSet-Cookie: a", "text/plain; version=1.0.0; escaping=\r\nevil", "*/*", ";;;,,,=", "é" * 5000]
    )
    async def test_nothing_of_the_question_comes_back(self, accept: str) -> None:
        """The content type is one of a few."""
        response = await admin()(request("/metrics", headers={"Accept": accept}))
        assert response.status == 200
        assert "\n" not in response.content_type
        assert "evil" not in response.content_type
