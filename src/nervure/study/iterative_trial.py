"""The trial ``prune-iterative``: a network that loses neurons, connections, or both, while it trains once.

Source: spec majority-voting-pruning, 4 to 6 (Tables 5.4 and 5.5, section 5.3.4, Figure 5.4).
"""

from __future__ import annotations

import time
from typing import ClassVar

from torch import nn

from nervure import nets
from nervure.prune.training import iterative_recipe
from nervure.prune.training.recipes import CYCLE
from nervure.store.run import History
from nervure.study.settings import TrainSettings
from nervure.study.train_trial import training_data
from nervure.study.trials import Job, Measured
from nervure.train import fit

__all__ = ["IterativeSettings", "iterative_trial"]


class IterativeSettings(TrainSettings):
    """What the trial ``prune-iterative`` is told: as for the trial ``train``, with another recipe.

    Parameters
    ----------
    recipe : dict
        Arguments of :func:`nervure.prune.training.iterative_recipe`: ``votes``, ``sparse``, ``cycles``, ``epochs``,
        and anything of a recipe.
    """

    trial: ClassVar[str] = "prune-iterative"


def iterative_trial(job: Job) -> Measured:
    """Train once, and count what is left.

    Measures: ``accuracy`` and the others of test; ``weights`` that are not zero, without biases, ``parameters`` with
    them, the share of the dense network's ``weights_share``, ``events`` of pruning, ``best_validation`` of all epochs;
    ``validation accuracy by cycle N``, the best in the cycle, and ``weights by cycle N``.
    """
    settings = IterativeSettings.read(job.settings)
    ds = training_data(job, settings.train_samples)
    net = nets.build(settings.net, ds, seed=job.seed, **settings.net_options)
    begun = time.perf_counter()
    run = fit(net, ds, iterative_recipe(**{**settings.recipe, "seed": job.seed}), device=job.device)
    took = time.perf_counter() - begun
    weights, biases = left(run.net)
    rows, whole = run.history, left(net)[0]
    cycles = by_cycle(rows, int(settings.recipe.get("epochs", CYCLE)))
    best = {cycle: max(float(row.get("validation_accuracy") or 0.0) for row in own) for cycle, own in cycles.items()}
    return Measured(
        {
            **run.metrics,
            "weights": float(weights),
            "parameters": float(weights + biases),
            "weights_share": weights / whole,
            "events": float(sum(int(row.get("event") or 0) for row in rows)),
            "epochs": float(len(rows)),
            "best_validation": max(best.values()),
            **{f"validation accuracy by cycle {cycle}": value for cycle, value in best.items()},
            **{f"weights by cycle {cycle}": float(own[-1].get("n_weights") or whole) for cycle, own in cycles.items()},
        },
        {"train": took},
    )


def by_cycle(history: History, epochs: int) -> dict[int, History]:
    """Rows of history by their cycle; where nothing counts cycles, so many epochs are one.

    >>> {cycle: len(rows) for cycle, rows in by_cycle([{"epoch": epoch} for epoch in (1, 2, 3)], 2).items()}
    {1: 2, 2: 1}
    """
    found: dict[int, History] = {}
    for row in history:
        cycle = row.get("cycle") or (int(row["epoch"] or 0) - 1) // epochs + 1
        found.setdefault(int(cycle), []).append(row)
    return found


def left(net: nn.Module) -> tuple[int, int]:
    """Weights that are not zero, and all other parameters.

    >>> left(nn.Linear(3, 2))
    (6, 2)
    """
    parameters = list(net.parameters())
    weights = sum(int(one.detach().count_nonzero()) for one in parameters if one.ndim > 1)
    return weights, sum(one.numel() for one in parameters if one.ndim < 2)
