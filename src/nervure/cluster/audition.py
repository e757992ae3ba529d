"""Audition: several seeds train for a short while, and the one with the lowest loss is trained to the end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nervure.cluster.method import Method, warm_epochs, with_options
from nervure.data.dataset import Dataset
from nervure.store import Run
from nervure.store.folder import is_run
from nervure.store.record import parse
from nervure.store.tree import load_tree
from nervure.train import Recipe, checkpoint, fit
from nervure.train.loop import Progress

__all__ = ["audition", "seed_in", "tried_seeds"]

SHARE = 0.2
"""How much of the training after the warm-up an audition takes."""


def tried_seeds(seed: int, count: int) -> list[int]:
    """``count`` seeds, the first of them ``seed`` itself.

    >>> tried_seeds(7, 3)[0], len(set(tried_seeds(7, 3)))
    (7, 3)
    """
    more = np.random.SeedSequence(seed).generate_state(max(0, count - 1), np.uint32)
    return [seed, *(int(one) % 2**31 for one in more)]


def seed_in(out: Path | str) -> int | None:
    """The seed of the training that a folder holds, ended or not: seeds are not tried anew to go on with it.

    >>> seed_in("no/such/folder") is None
    True
    """
    if is_run(out):
        return parse(Path(out) / "run.json").lineage[-1].seed
    held = checkpoint.file_of(Path(out))
    return Recipe.of(load_tree(held)["recipe"]).seed if held.is_file() else None


def audition(
    method: Method,
    ds: Dataset,
    count: int,
    start: Callable[[Method, Dataset], Run],
    *,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Method:
    """The method with the seed, of ``count``, whose loss is lowest after a fifth of the training.

    Losses of one setting can be compared; labels play no part (spec neural-mixture, 8). The seed that wins is trained
    anew from its start, so the result is that of this seed alone.

    Parameters
    ----------
    method : Method
        Its recipe's seed is the first that is tried.
    start : callable
        Gives the untrained clusterer of a method for the data.
    """
    losses = []
    for number, seed in enumerate(tried_seeds(method.recipe.seed, count), 1):
        tried = _short(method, seed)
        tell = None if progress is None else functools.partial(_told, progress, f"seed {number} of {count}")
        run = fit(start(tried, ds), ds, tried.recipe, device=device, progress=tell, stop=stop)
        losses.append((float(run.history[-1]["train_loss"] or 0.0), seed))
    return with_options(method, {}, seed=min(losses)[1])


def _told(progress: Callable[[Progress], None], stage: str, where: Progress) -> None:
    progress(dataclasses.replace(where, stage=stage))


def _short(method: Method, seed: int) -> Method:
    """The method for one audition: fewer epochs, no figures, no early end."""
    recipe = method.recipe
    phase, *others = recipe.callbacks
    warm = warm_epochs(recipe)
    epochs = min(recipe.epochs, warm + max(1, round(SHARE * (recipe.epochs - warm))))
    quiet = phase.model_copy(update={"options": {**phase.options, "patience": 0, "snapshots": [], "settle": False}})
    return with_options(method, {}, seed=seed, epochs=epochs, callbacks=(quiet, *others))
