"""``python -m mlserve``."""

from __future__ import annotations

import sys

from mlserve.cli import main

sys.exit(main())
