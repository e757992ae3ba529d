"""Lottery tickets: magnitude pruning in rounds, each from the first weights again (spec isparse, 2.10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.sparsify import rates
from nervure.sparsify.layers import checked, prunable, weight_of
from nervure.sparsify.masked import bake, masked
from nervure.sparsify.select import highest, highest_of_all, kept_count
from nervure.store import Run
from nervure.train.cycles import cycles
from nervure.train.recipe import Recipe

__all__ = ["lottery", "share_after", "ticket"]


def share_after(sparsity: float, done: int, rounds: int) -> float:
    """The share of edges that is gone after so many of all rounds, each of which keeps the same part of the rest.

    >>> [round(share_after(0.488, done, 3), 3) for done in range(4)]
    [0.0, 0.2, 0.36, 0.488]
    """
    return sparsity if done == rounds else 1 - (1 - sparsity) ** (done / rounds)


def ticket(
    first: nn.Module,
    trained: nn.Module,
    asked: Mapping[str, float],
    *,
    ranking: str = "layer",
) -> nn.Module:
    """``first`` under the mask of the largest weights that ``trained`` uses; ``asked`` is the share to go by layer.

    >>> from nervure.sparsify.masked import masks_of
    >>> net = nn.Sequential(nn.Linear(4, 1))
    >>> masks_of(ticket(net, net, {"0": 0.75}))["0"].sum()
    tensor(1)
    """
    used = bake(trained)
    sizes = {name: weight_of(used.get_submodule(name)).detach().abs() for name in asked}
    if ranking == "global":
        edges = sum(one.numel() for one in sizes.values())
        chosen = highest_of_all(sizes, kept_count(edges, next(iter(asked.values()))))
    else:
        chosen = {name: highest(one, kept_count(one.numel(), asked[name])) for name, one in sizes.items()}
    if empty := [name for name, one in chosen.items() if one.numel() and not one.numpy().any()]:
        raise InputError(f"layer {empty[0]!r} would lose all of its edges; ask for less, or exclude it")
    return masked(first, chosen)


def lottery(
    net: nn.Module | Run,
    ds: Dataset,
    sparsity: float | Mapping[str, float] | None = None,
    recipe: Recipe | Callable[[int], Recipe] | None = None,
    *,
    rounds: int = 3,
    ranking: str = "layer",
    layers: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    **options: Any,
) -> Run:
    """Train, prune by magnitude and rewind, ``rounds`` times over, then train what is left.

    Parameters
    ----------
    net : Module or Run
        Untrained; its weights are what every round begins from.
    ds : Dataset
        As for :func:`nervure.train.fit`.
    sparsity : float or mapping
        The share of edges that is gone at the end; each round keeps ``(1 - s)^(1 / rounds)`` of the rest.
    recipe : Recipe or callable
        Of each of the ``rounds + 1`` trainings; a callable is asked for that of training 0, 1, ... To compare at equal
        epochs, divide them.
    rounds : int
        How often edges go.
    ranking, layers, exclude
        As for :func:`nervure.sparsify.plan`.
    **options
        Of :func:`nervure.train.cycles`: ``out``, ``resume``, ``device``, ...

    Returns
    -------
    Run
        Of the masked network; the history has a column ``cycle``.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=(16,))
    >>> run = lottery(net, ds, 0.75, nv.train.Recipe(epochs=1), rounds=2, device="cpu")
    >>> nv.sparsify.Mask.of(run.net).sparsity, len(run.history)
    (0.75, 3)
    """
    if not isinstance(rounds, int) or rounds < 1:
        raise InputError(f"rounds = {rounds!r}; give a whole number from 1")
    known = rates.known_ranking(ranking, None, "input-to-output")
    first = net.net if isinstance(net, Run) else net
    found = checked(prunable(first, layers, exclude))
    asked = rates.asked(found, sparsity, ranking=known)

    def change(run: Run, cycle: int) -> nn.Module:
        goal = {name: share_after(share, cycle + 1, rounds) for name, share in asked.items()}
        return ticket(first, run.net, goal, ranking=known)

    return cycles(net, ds, recipe or Recipe(), change, rounds + 1, **options)
