"""The trial ``prune-layerwise``: prune a layer, retrain the whole network, go on with the next.

Source: spec ssim-kmeans-pruning, 2.8 (Tables 4 to 6; which epoch is reported: its third point).
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from nervure.data import Dataset
from nervure.prune.criteria import make
from nervure.prune.training import layerwise
from nervure.study.asked import accuracy, cost_of, numbered, widths
from nervure.study.base import base_of
from nervure.study.settings import FromBase, OfLayers
from nervure.study.trials import Job, Measured
from nervure.train import Recipe
from nervure.train.callbacks import Callback

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["LastRetraining", "LayerwiseSettings", "layerwise_trial"]


class LayerwiseSettings(FromBase, OfLayers):
    """What the trial ``prune-layerwise`` is told beside its base and which layers.

    Parameters
    ----------
    criterion, criterion_options, samples
        As for the trial ``prune``.
    base_seed : int, optional
        Seed of the base and of judging, where all trials prune one network alike and only retraining differs.
    keep, whole
        As for the trial ``prune-steps``.
    judged : str
        ``"original"`` or ``"current"``, as in :func:`nervure.prune.training.layerwise`.
    recipe : dict
        How the whole network is retrained after each layer.
    """

    trial: ClassVar[str] = "prune-layerwise"

    base_seed: int | None = Field(None, ge=0)
    criterion: str = "ssim-kmeans"
    criterion_options: dict[str, object] = Field(default_factory=dict)
    keep: float | tuple[int, ...] = 0.5
    whole: tuple[int, ...] = ()
    judged: Literal["original", "current"] = "original"
    samples: int = Field(500, ge=1)
    recipe: dict[str, object]


class LastRetraining(Callback):
    """Looks at the test split after each epoch of the last of several trainings, and hands nothing back to it."""

    def __init__(self, trainings: int, ds: Dataset, device: str = "auto") -> None:
        self.trainings, self.ds, self.device = trainings, ds, device
        self.accuracies: list[float] = []

    def start(self, loop: Loop) -> None:
        """One training fewer is left."""
        self.trainings -= 1

    def after_epoch(self, loop: Loop, row: dict[str, float | int | str | None]) -> None:
        """Note the test accuracy of the network as it is."""
        if not self.trainings:
            self.accuracies.append(accuracy(loop.net, self.ds, device=self.device))


def layerwise_trial(job: Job) -> Measured:
    """Prune and retrain layer by layer; ``accuracy`` on test is of the epoch that validation chose, never test.

    Of the last retraining also ``accuracy_last``, that of its last epoch, and ``accuracy_best_test``, the highest of
    any, which is chosen on test and only for comparison with figures that were printed so. Further measures:
    ``accuracy_base``, and of the last network ``macs``, ``parameters`` and their shares.
    """
    settings = LayerwiseSettings.read(job.settings)
    seed = job.seed if settings.base_seed is None else settings.base_seed
    run, ds = base_of(dataclasses.replace(job, seed=seed), settings.run, settings.base)
    _, layers = numbered(run.net, ds, settings.kind, settings.first, settings.count)
    keep: dict[str, float | int] = dict(widths(settings.keep, layers, settings.whole))
    criterion = make(settings.criterion, seed, settings.criterion_options)
    watch = LastRetraining(len(keep), ds, job.device)
    begun = time.perf_counter()
    found = layerwise(
        run, ds, Recipe.of({**settings.recipe, "seed": job.seed}), keep, criterion, judged=settings.judged,
        samples=settings.samples, seed=seed, device=job.device, callbacks=[watch],
    )  # fmt: skip
    took = time.perf_counter() - begun
    return Measured(
        {
            "accuracy": accuracy(found.net, ds, device=job.device),
            "accuracy_last": watch.accuracies[-1],
            "accuracy_best_test": max(watch.accuracies),
            "accuracy_base": accuracy(run.net, ds, device=job.device),
            **cost_of(run.net, found.net, ds.in_shape),
        },
        {"retrain": took},
    )
