"""What should serve and what does: one servable per model, its deployments, and the swap between them.

``manager`` holds the servables; a servable copies parts (``parts``), has them loaded and proved (``loader``,
``selftest``), publishes a ``deployment`` and drains the one before.
"""
