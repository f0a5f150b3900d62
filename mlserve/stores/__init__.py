"""Where entries live. One file per store and one row in ``mlserve/registry.py``: bytes in, bytes out, no policy."""
