"""Runtimes that load an artefact and run it: leaves, named by the registry and imported by nobody.

To add a backend:

1. Write ``mlserve/backends/<name>.py`` with a class that fulfils :class:`mlserve.contracts.backend.Backend`. Import the
   runtime inside ``load`` only, and answer ``ModuleNotFoundError`` with :class:`mlserve.errors.MissingPackage`.
2. Add its row to ``TABLES["backends"]`` in ``mlserve/registry.py`` (a package of somebody else's registers under the
   entry-point group ``mlserve.backends`` instead) and its extra to ``pyproject.toml``.
3. Write its zoo, a class like those of ``tests/support/zoo``, which builds the same few small models for it, and name
   it in ``tests/backends/test_contract.py``. The suite there says the rest; a row without a zoo fails it.

What backends share: ``devices`` (names in ``Providers``), ``faults`` (whose fault a failed run is), ``quiet`` (C
libraries that chatter on stderr). A file named after a backend, such as ``onnx_types``, belongs to it alone.
"""
