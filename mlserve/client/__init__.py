"""Asking an mlserve over HTTP: :class:`mlserve.client.client.Client`. Needs nothing of the server's rooms."""
