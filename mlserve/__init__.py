"""mlserve: the model server for models that answer the same questions again and again."""

__version__ = "0.1.0"
