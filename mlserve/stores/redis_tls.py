"""TLS of ``rediss://``: certificates are verified unless the URL says not to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from mlserve.contracts.store import StoreFault


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files; without ``ca_certs`` those of the system are trusted."""

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True
    check_hostname: bool = True

    def context(self) -> ssl.SSLContext:
        """Reads the files, so not on the event loop. Raises :class:`StoreFault`."""
        try:
            context = ssl.create_default_context(cafile=self.ca_certs)
            if self.certfile is not None:
                # Without a passphrase here, a key that has one would be asked for at the terminal.
                context.load_cert_chain(self.certfile, self.keyfile, password="")
        except (OSError, ValueError) as error:
            given = {"ssl_ca_certs": self.ca_certs, "ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile}
            named = ", ".join(f"{name}={path}" for name, path in given.items() if path)
            raise StoreFault(f"the files of TLS cannot be used ({named}): {error}") from error
        context.check_hostname = self.verify and self.check_hostname
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        return context
