"""What ``rediss://`` trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_tls import Tls
from tests.support.certificate import self_signed


def test_verifies() -> None:
    """Without a word in the URL, a server has to prove its name."""
    context = Tls().context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_does_not_verify_when_told_so() -> None:
    """``ssl_cert_reqs=none`` and ``ssl_check_hostname=false`` do what they say, and no more."""
    nothing, any_name = Tls(verify=False).context(), Tls(check_hostname=False).context()
    assert (nothing.verify_mode, nothing.check_hostname) == (ssl.CERT_NONE, False)
    assert (any_name.verify_mode, any_name.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_trusts_the_given_file_alone(tmp_path: Path) -> None:
    """A private authority is named in place of those of the system."""
    made = self_signed(tmp_path)
    context = Tls(str(made.cert), str(made.cert), str(made.key)).context()
    assert [dict(name for (name,) in cert["subject"]) for cert in context.get_ca_certs()] == [
        {"commonName": "127.0.0.1"}
    ]


@pytest.mark.parametrize("broken", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_none(tmp_path: Path, broken: str) -> None:
    """The error names the settings, so that the wrong one can be found; no key asks for its passphrase."""
    made = self_signed(tmp_path)
    paths = {"ssl_ca_certs": made.cert, "ssl_certfile": made.cert, "ssl_keyfile": made.key} | {broken: tmp_path / "no"}
    with pytest.raises(StoreFault, match=f"{broken}={tmp_path}/no"):
        Tls(*map(str, paths.values())).context()
