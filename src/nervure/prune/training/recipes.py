"""Recipes of the published runs: iterative pruning, and training after each layer that was cut.

Source: spec majority-voting-pruning, 4 to 6 (settings); spec ssim-kmeans-pruning, 3.3.
"""

from __future__ import annotations

from typing import Any, Literal

from nervure.errors import InputError
from nervure.train.recipe import CallbackSpec, Recipe

__all__ = ["CYCLE", "iterative_recipe", "retraining"]

RATES = {"thesis": 0.001, "corrected": 0.01}
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


def retraining(profile: Literal["thesis", "corrected"] = "corrected", *, epochs: int = 30, seed: int = 0) -> Recipe:
    """How the network is trained after each layer, as published, but for the learning rate of ``corrected``.

    SGD on batches of 128; the rate falls to a tenth at a sixth and at a third of the epochs: 5 and 10 of 30.

    >>> retraining("thesis").milestones, retraining("thesis").lr
    ((5, 10), 0.001)
    """
    if profile not in RATES:
        raise InputError(f"profile {profile!r}; give thesis or corrected")
    milestones = tuple(sorted({one for part in (6, 3) if (one := round(epochs / part)) >= 1 and one < epochs}))
    return Recipe(
        epochs=epochs, batch=128, optimizer="sgd", lr=RATES[profile], momentum=0.9, weight_decay=5e-4,
        schedule="step" if milestones else "constant", milestones=milestones, monitor="accuracy", seed=seed,
    )  # fmt: skip
