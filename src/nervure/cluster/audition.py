"""Audition: several seeds train through the warm-up and half of what follows; the one with the lowest loss is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from nervure.cluster.method import Method, warm_epochs, with_options
from nervure.errors import DivergedError, InterruptedWork
from nervure.store import Run
from nervure.store.folder import is_run
from nervure.store.record import parse
from nervure.store.tree import load_tree
from nervure.train import Recipe, checkpoint
from nervure.train.loop import Progress

__all__ = ["Train", "audition", "first_seed", "seed_in", "staged", "tried_seeds"]

SHARE = 0.5
"""How much of the training after the warm-up an audition takes: after a fifth, losses do not yet tell seeds apart."""

TAIL = 5
"""Epochs at its end whose mean loss is compared."""


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


def first_seed(out: Path | str, count: int) -> int | None:
    """The seed that the work in a folder began with, or the one it has chosen since, for who names none.

    >>> first_seed("no/such/folder", 4) is None
    True
    """
    if (held := seed_in(out)) is not None:
        return held
    tried = [int(one.name.removeprefix("seed-")) for one in checkpoint.file_of(Path(out)).parent.glob("seed-*")]
    return next((seed for seed in tried if set(tried) <= set(tried_seeds(seed, count))), None)


class Train(Protocol):
    """Something that trains."""

    def __call__(self, method: Method, out: Path | None, stage: str) -> Run:
        """Train a method, into a folder if there is one; progress says which part of the work this is."""


def audition(method: Method, count: int, train: Train, *, out: Path | None = None, resume: bool = False) -> Method:
    """The method with the seed, of ``count``, whose loss is lowest after half of what follows the warm-up.

    Losses of one setting can be compared; labels play no part (spec neural-mixture, 8). The seed that wins is trained
    anew from its start, so the result is that of this seed alone.

    Parameters
    ----------
    method : Method
        Its recipe's seed is the first that is tried.
    train : callable
        Trains a method.
    out : Path, optional
        The folder of the training to come; what was tried is kept beside its checkpoint until it ends.
    resume : bool
        Take what ``out`` holds: the seeds that were tried, or the one whose training began.
    """
    seeds = tried_seeds(method.recipe.seed, count)
    chosen = seed_in(out) if resume and out is not None else None
    if chosen not in seeds:
        losses = []
        for number, seed in enumerate(seeds, 1):
            place = None if out is None else checkpoint.file_of(out).with_name(f"seed-{seed}")
            try:
                run = train(_short(method, seed), place, f"seed {number} of {count}")
            except InterruptedWork:
                hint = f"; {out}: go on with --resume" if place is not None and place.parent.exists() else ""
                raise InterruptedWork(f"stopped at seed {number} of {count} that are tried{hint}") from None
            except DivergedError as error:
                broken = error
                continue
            losses.append((float(np.mean([row["train_loss"] or 0.0 for row in run.history[-TAIL:]])), seed))
        if not losses:
            raise broken
        chosen = min(losses)[1]
    return with_options(method, {}, seed=chosen)


def staged(progress: Callable[[Progress], None], stage: str) -> Callable[[Progress], None]:
    """What is told of a part of the work, with the part's name.

    >>> seen = []
    >>> staged(seen.append, "seed 1 of 2")(Progress(0, 1, 1, 2))
    >>> seen[0].stage
    'seed 1 of 2'
    """
    return lambda where: progress(dataclasses.replace(where, stage=stage))


def _short(method: Method, seed: int) -> Method:
    """The method for one audition: fewer epochs, no figures, no early end."""
    recipe = method.recipe
    phase, *others = recipe.callbacks
    warm = warm_epochs(recipe)
    never = warm >= recipe.epochs  # clusters come at the end
    before = 0 if never else warm
    epochs = min(recipe.epochs, before + max(1, round(SHARE * (recipe.epochs - before))))
    shorter = {"patience": 0, "snapshots": [], "settle": False, "warmup": epochs if never else warm}
    quiet = phase.model_copy(update={"options": {**phase.options, **shorter}})
    return with_options(method, {}, seed=seed, epochs=epochs, callbacks=(quiet, *others))
