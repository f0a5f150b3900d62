"""Where models come from: listing, settling and copying artefacts at any fsspec URL, and noticing that they moved.

A place (``local``, ``remote``) looks and opens; a fetch makes one whole, private copy of what a place holds, or none.
The room knows nothing of models: what it hands on is an :class:`~mlserve.sources.artifact.Artifact`.
"""
