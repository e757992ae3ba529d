"""The recipe of published runs of iterative pruning: spec majority-voting-pruning, 4 to 6 (settings)."""

from __future__ import annotations

from typing import Any

from nervure.errors import InputError
from nervure.train.recipe import CallbackSpec, Recipe

__all__ = ["CYCLE", "iterative_recipe"]

CYCLE = 20
"""Epochs of a cycle, as published."""


def iterative_recipe(
    *, votes: bool = True, sparse: bool = False, cycles: int = 100, epochs: int = CYCLE, epsilon: float = 20.0,
    zeta: float = 0.3, remove: float = 0.05, stall: int | None = 5, **settings: Any,
) -> Recipe:  # fmt: skip
    """SGD in batches of 100 at 0.006, momentum 0.9, weight decay 0.0002, selection by validation accuracy.

    Parameters
    ----------
    votes, sparse : bool
        Whether units are pruned by votes, and whether dense layers are sparse by SET. All four of them are runs to
        compare.
    cycles, epochs : int
        Cycles at most, and epochs of each; with votes one more cycle trains what the last event left.
    epsilon, zeta, remove, stall
        Options of the callbacks.
    **settings
        Anything of :class:`nervure.train.Recipe` to put in place of the published.

    Examples
    --------
    >>> recipe = iterative_recipe(sparse=True, cycles=3, epochs=2, seed=1)
    >>> recipe.epochs, [one.name for one in recipe.callbacks], recipe.seed
    (8, ['iterative-votes', 'set'], 1)
    """
    if taken := [name for name in ("callbacks", "monitor") if name in settings]:
        raise InputError(f"iterative_recipe sets {taken[0]} itself; make a Recipe to set it otherwise")
    callbacks = []
    if votes:
        options: dict[str, object] = {"remove": remove, "epochs": epochs, "cycles": cycles, "stall": stall}
        callbacks.append(CallbackSpec(name="iterative-votes", options=options))
    if sparse:
        callbacks.append(CallbackSpec(name="set", options={"epsilon": epsilon, "zeta": zeta}))
    published: dict[str, Any] = {
        "epochs": cycles * epochs + (epochs if votes else 0),
        "batch": 100,
        "optimizer": "sgd",
        "lr": 0.006,
        "momentum": 0.9,
        "weight_decay": 0.0002,
        "keep": "best",
    }
    return Recipe(**{**published, **settings}, monitor="accuracy", callbacks=tuple(callbacks))
