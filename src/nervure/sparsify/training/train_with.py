"""train_with: every method that removes edges while a network trains, through one door."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.sparsify.criteria import get, make
from nervure.sparsify.criteria.trained import L1, Lottery
from nervure.sparsify.masked import bake
from nervure.sparsify.training.lottery import lottery
from nervure.store import Run
from nervure.train.fit import fit
from nervure.train.recipe import CallbackSpec, Recipe

__all__ = ["recipe_with", "train_with"]

_CALLBACK = ("warm_up", "refresh", "ramp", "scores", "order", "pattern", "allow_empty", "samples")
_SHARED = ("ranking", "layers", "exclude")


def train_with(
    net: nn.Module | Run,
    ds: Dataset,
    criterion: str = "isparse",
    sparsity: float | Mapping[str, float] | None = None,
    recipe: Recipe | None = None,
    *,
    settings: Mapping[str, object] | None = None,
    fit_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Train a network while edges go.

    Parameters
    ----------
    net, ds, recipe : Module or Run, Dataset, Recipe
        As for :func:`nervure.train.fit`; callbacks that the recipe names stay. A masked network starts from the weights
        that it uses.
    criterion : str
        Any name of :data:`nervure.sparsify.criteria.criteria`: one that scores edges judges them after each epoch;
        ``l1``, ``dropout`` and ``lottery`` are methods of their own.
    sparsity : float or mapping
        The share of edges to remove, 0.5 if not given. ``l1`` reaches its own; for ``dropout`` it is nominal.
    settings : mapping
        Of the criterion: ``initial`` of isparse, ``strength`` and ``threshold`` of l1, ``rounds`` of lottery.
    fit_options : mapping
        Of :func:`nervure.train.fit`: ``out``, ``resume``, ``device``, ...
    **options
        ``ranking``, ``layers``, ``exclude``; and for criteria that score, what
        :class:`~nervure.sparsify.training.sparse.SparseTraining` takes.

    Returns
    -------
    Run
        ``Mask.of(run.net)`` says which edges stayed.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=(16,))
    >>> run = train_with(net, ds, "random", 0.5, nv.train.Recipe(epochs=2), fit_options={"device": "cpu"})
    >>> nv.sparsify.Mask.of(run.net).sparsity
    0.5
    """
    recipe, fitting = recipe or Recipe(), dict(fit_options or {})
    how = recipe_with(criterion, sparsity, recipe, settings=settings, **options)
    net = dataclasses.replace(net, net=bake(net.net)) if isinstance(net, Run) else bake(net)
    made = make(criterion, 0, settings)
    if isinstance(made, Lottery):
        return lottery(net, ds, sparsity, how, rounds=made.rounds, **options, **fitting)
    return fit(net, ds, how, **fitting)


def recipe_with(
    criterion: str,
    sparsity: float | Mapping[str, float] | None,
    recipe: Recipe,
    *,
    settings: Mapping[str, object] | None = None,
    **options: Any,
) -> Recipe:
    """The recipe by which :func:`train_with` trains: the one given, and the callback that removes edges.

    >>> recipe_with("l1", None, Recipe(), settings={"strength": 0.1}).callbacks[0].name
    'l1-penalty'
    """
    own = dict(settings or {})
    get(criterion)
    takes = {
        "l1": ("layers", "exclude"), "dropout": (), "lottery": _SHARED,
    }.get(criterion, (*_SHARED, *_CALLBACK))  # fmt: skip
    for name in options:
        if name not in takes:
            known = ", ".join(takes) or "none"
            raise InputError(f"training with {criterion!r} takes no option {name!r}; it takes {known}")
    made = make(criterion, 0, own)
    if isinstance(made, Lottery):
        return recipe
    if isinstance(made, L1):
        spec = CallbackSpec(
            name="l1-penalty", options={"strength": made.strength, "threshold": made.threshold, **options}
        )
    elif criterion == "dropout":
        if isinstance(sparsity, Mapping):
            raise InputError("dropout takes one share for all layers")
        spec = CallbackSpec(name="activation-dropout", options={"share": 0.5 if sparsity is None else sparsity})
    else:
        whole = {"criterion": criterion, "sparsity": sparsity, "settings": own, **options}
        spec = CallbackSpec(name="sparse-training", options=whole)
    return recipe.model_copy(update={"callbacks": (*recipe.callbacks, spec)})
