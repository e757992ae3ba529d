"""cycles: fit, change, fit again; resumable at every cycle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.nets.digest import weights_digest
from nervure.store import Action, Run
from nervure.store import folder as runs
from nervure.store.atomic import alone, write_text
from nervure.train.fit import fit
from nervure.train.recipe import Recipe
from nervure.train.runtime import group_rank

__all__ = ["cycles"]


def cycles(
    net: nn.Module | Run,
    ds: Dataset,
    recipe: Recipe | Callable[[int], Recipe],
    change: Callable[[Run, int], nn.Module],
    count: int,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> Run:
    """Train ``count`` times, changing the network in between: layer-wise pruning, rewinding.

    Parameters
    ----------
    net, ds : Module or Run, Dataset
        As for :func:`fit`.
    recipe : Recipe or callable
        How each cycle is trained; a callable is asked for the recipe of cycle 0, 1, ...
    change : callable
        ``change(run, cycle) -> module``, called after each cycle but the last; it must give the same for the
        same run.
    count : int
        Number of cycles.
    out : path, optional
        The last run's folder; the cycles before it are kept beside it, in ``<out>.cycles/``, for resuming: with the
        same network, and the same changes.
    **options
        Further arguments of :func:`fit`.

    Returns
    -------
    Run
        The last cycle's run, with the history of all cycles (column ``cycle``) and the lineage of all.
    """
    if count < 1:
        raise InputError(f"cycles: count = {count}; give 1 or more")
    target = None if out is None else runs.claim(out, resume=resume, overwrite=overwrite)
    side = None if target is None else target.with_name(f"{target.name}.cycles")
    first = group_rank() == 0  # of several processes one writes
    if side is not None and overwrite and not resume and first:
        for old in side.glob("[0-9]*/"):
            shutil.rmtree(old)
    current, history = net, []
    run: Run | None = None
    for cycle in range(count):
        how = recipe(cycle) if callable(recipe) else recipe
        place = None if side is None else side / str(cycle)
        if place is not None and first:
            _same_start(place, current.net if isinstance(current, Run) else current, resume=resume)
        run = fit(current, ds, how, out=place, resume=resume, overwrite=overwrite, **options)
        history += [{"cycle": cycle, **row} for row in run.history]
        if cycle + 1 < count:
            changed = change(run, cycle)
            run = Run.of(changed, ds, (*run.lineage, Action("change", {"cycle": cycle})))
            current = run
    assert run is not None
    run.history = history
    if target is not None and first:
        with alone(target):
            runs.claim(target, resume=resume, overwrite=overwrite)  # what another process may have written meanwhile
            if overwrite and not resume:
                runs.discard(target)
            runs.write(target, run)
    return run


def _same_start(place: Path, net: nn.Module, *, resume: bool) -> None:
    """Refuse to go on with a cycle that began with other weights, as after another change; remember these otherwise."""
    file = place.with_suffix(".start")
    begun = weights_digest(net, None)
    if resume and place.exists() and file.is_file() and file.read_text(encoding="utf-8") != begun:
        raise InputError(
            f"{place} was started from other weights: with another network, or other settings of the change"
        )
    write_text(file, begun)
