"""A model without a model file: any Python class can be served (``URL: python:examples/scorer.py:FoodPerDay``).

It says what it takes and gives, and answers whole batches of numpy arrays. mlserve calls ``predict`` from worker
threads, several at once, so whatever it needs is made beforehand and only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

ENERGY_KJ_PER_G = {"krill": 4.35, "fish": 5.0, "squid": 3.5}
"""Of wet prey."""

DIGESTED = 0.8
"""The share of that energy that a penguin makes use of."""


class FoodPerDay:
    """Grams a penguin eats a day: the field metabolic rate of seabirds (16.69 m^0.651 kJ) over what its prey gives."""

    signature: ClassVar[dict[str, dict[str, str]]] = {
        "inputs": {"body_mass_g": "float32[-1,1]", "prey": "string[-1,1]"},
        "outputs": {"food_g": "float32[-1,1]"},
    }

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """One row of ``food_g`` for each row of the inputs; NaN for prey that nobody has measured."""
        need_kj = 16.69 * inputs["body_mass_g"] ** 0.651
        energy = [ENERGY_KJ_PER_G.get(prey, np.nan) for prey in inputs["prey"].flat]
        gained_kj_per_g = DIGESTED * np.array(energy, np.float32).reshape(need_kj.shape)
        return {"food_g": (need_kj / gained_kj_per_g).astype(np.float32)}
