"""Which model of a configuration ``mlserve warm`` fills the cache of, and why another would be filled in vain."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from mlserve.config.schema import ModelConfig
from mlserve.errors import SetupError


def model_to_warm(models: Sequence[ModelConfig], wanted: str | None) -> ModelConfig:
    """The model called ``wanted``, else the only one whose answers are kept. ``models`` know their datastores.

    Raises :class:`SetupError`.
    """
    if wanted is not None:
        model = next((model for model in models if model.id == wanted), None)
        if model is None:
            ids = [model.id for model in models]
            near = get_close_matches(wanted, ids, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(ids) or 'none'}"
            raise SetupError(f"{wanted}: no model of that id is configured; {hint}")
        if reason := in_vain(model):
            raise SetupError(f"{model.id}: {reason}")
        return model
    kept = [model for model in models if in_vain(model) is None]
    if len(kept) > 1:
        raise SetupError(
            f"several models can be warmed; say which with --model: {', '.join(model.id for model in kept)}"
        )
    if not kept:
        reasons = "".join(f"\n{model.id}: {in_vain(model)}" for model in models)
        raise SetupError(f"no model is configured that can be warmed{reasons}")
    return kept[0]


def in_vain(model: ModelConfig) -> str | None:
    """Why nothing of what this command does would outlive it; ``None`` if it would."""
    store = model.store
    if store is None:
        return "it names no DataStore, so its answers are not cached: give it one with a Connection"
    if not model.use_dict:
        return "UseDict is false, so its answers are not cached"
    if store.disabled:
        return f"its DataStore {store.id} is disabled"
    tiers = [tier for tier in (store, store.l2) if tier is not None and tier.link is not None]
    if not tiers:
        return (
            f"its DataStore {store.id} keeps answers in memory alone, which ends with this command: name a Connection "
            "in it, such as one with URL: redis://host or lmdb:./cache"
        )
    if all(tier.read_only for tier in tiers):
        return f"its DataStore {store.id} is ReadOnly: leave that out to warm it"
    return None
