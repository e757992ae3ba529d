"""The trial ``cluster-densities``: what normalising scores does to a neural mixture's densities, on points of a plane.

Source: spec neural-mixture-clustering, 5 (2-D study) and 6.1 (Table 4.1).
"""

from __future__ import annotations

import dataclasses
import time
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from nervure import data, nets
from nervure.cluster.heads.scores import ScoresHead
from nervure.data import Dataset
from nervure.data.dataset import Indices
from nervure.errors import InputError
from nervure.features import agreement
from nervure.nets import blueprint as bp
from nervure.objectives.scores import densities
from nervure.study.cluster_measures import agreement_on
from nervure.study.settings import TrialSettings
from nervure.study.train_trial import at_most
from nervure.study.trials import Job, Measured
from nervure.train import Recipe, fit

__all__ = ["DensitiesSettings", "densities_trial", "plane"]

BATCH = 128


class DensitiesSettings(TrialSettings):
    """What the trial ``cluster-densities`` is told.

    Parameters
    ----------
    normalise : str
        ``batch``, or ``none``: scores as they are.
    samples : int, optional
        Images at most.
    supervised : dict
        Fields of the recipe that trains the network whose two-unit layer gives the points.
    epochs, lr : int, float
        Of the mixture.
    gamma : float
        Temperature of the densities.

    Examples
    --------
    >>> DensitiesSettings().epochs
    10
    """

    trial: ClassVar[str] = "cluster-densities"

    normalise: Literal["batch", "detached", "none"] = "batch"
    samples: int | None = Field(None, ge=BATCH)
    supervised: dict[str, object] = Field(default_factory=dict)
    epochs: int = Field(10, ge=1)
    lr: float = Field(1e-3, gt=0)
    gamma: float = Field(5.0, gt=0)


def plane(ds: Dataset, recipe: Recipe, device: str = "auto") -> NDArray[np.float32]:
    """Points (n, 2): outputs of a linear layer of two units before the last of a network trained with labels.

    The network is C32 M C64 M F128 F2 F10, as the 2-D study has it.

    >>> plane(data.load("digits").subset(range(200)), Recipe(epochs=1), "cpu").shape
    (200, 2)
    """
    layers: tuple[bp.Layer, ...] = (
        bp.Conv(units=32, norm="batch"), bp.Pool(), bp.Conv(units=64, norm="batch"), bp.Pool(),
        bp.Dense(units=128, activation="relu"), bp.Dense(units=2), bp.Dense(),
    )  # fmt: skip
    run = fit(nets.build(bp.Blueprint(layers=layers), ds, seed=recipe.seed), ds, recipe, device=device)
    net = run.net.cpu().eval()
    parts = []
    with torch.no_grad():
        for at in np.array_split(ds.indices(), max(1, len(ds) // 1024)):
            hidden: Tensor = net.classifier[:-1](net.features(ds.batch(at).x))  # type: ignore[index,operator]
            parts.append(hidden.numpy())
    points = np.concatenate(parts)
    if points.shape[1:] != (2,):
        raise InputError(f"{ds.source}: the plane's points are of shape {points.shape}")
    return points.astype(np.float32)


def densities_trial(job: Job) -> Measured:
    """Cluster the points by EM, and give the batch mean of each cluster's density.

    ``h K`` is the mean over 128 points of h of cluster K, counted from 1, ``h_spread`` the largest less the smallest
    mean; further ``acc_all``, ``nmi_all`` and ``effective_clusters``.

    >>> settings = {"samples": 256, "epochs": 1, "supervised": {"epochs": 1}}
    >>> found = densities_trial(Job("digits", settings=settings, device="cpu")).metrics
    >>> found["h_spread"] < 0.1, abs(found["h 4"] - 0.5) < 0.05
    (True, True)
    """
    from nervure.cluster import clusterers

    settings = DensitiesSettings.read(job.settings)
    ds = data.load(job.source, data_dir=job.data_dir, **{"validation": 0.0, **job.options})  # type: ignore[arg-type]
    ds, y = _all_of(ds, settings.samples)
    begun = time.perf_counter()
    recipe = Recipe.of(
        {"epochs": 10, "batch": BATCH, "lr": 1e-3, "keep": "last", **settings.supervised, "seed": job.seed}
    )
    points = plane(ds, recipe, job.device)
    drawn = time.perf_counter()
    model = clusterers.get("neural-mixture")(
        ds.classes, profile="paper", optimisation="em-alone", normalise=settings.normalise, gamma=settings.gamma,
        network="mlp", network_options={"widths": [32, 32]}, epochs=settings.epochs, lr=settings.lr,
        random_state=job.seed, device=job.device, patience=0,
    ).fit(points)  # fmt: skip
    made = time.perf_counter()
    head = model.net_.head
    assert isinstance(head, ScoresHead)
    means = _means(head, model.transform(points), settings.gamma, job.seed)
    metrics = {f"h {number}": float(mean) for number, mean in enumerate(means, start=1)}
    sizes = np.bincount(model.labels_, minlength=ds.classes)
    metrics |= {"h_spread": float(means.max() - means.min()), **agreement_on("all", y, model.labels_)}
    metrics |= {"effective_clusters": agreement.effective_number(sizes)}
    return Measured(metrics, {"points": drawn - begun, "cluster": made - drawn})


def _all_of(ds: Dataset, samples: int | None) -> tuple[Dataset, Indices]:
    """All samples as the training split, or some of them, and their classes."""
    if ds.y is None or ds.task != "classification":
        raise InputError(f"{ds.source}: the points come from a network trained with classes, and there are none")
    whole = at_most(dataclasses.replace(ds, splits={"train": ds.indices()}), "train", samples, 0)
    some = whole.subset(whole.indices("train"))
    assert some.y is not None
    return some, some.y.astype(np.int64)


def _means(head: ScoresHead, latents: NDArray[np.float32], gamma: float, seed: int) -> NDArray[np.float64]:
    """The batch mean of h (k,): of scores normalised over the batch, or as they are."""
    at = np.random.default_rng(seed).permutation(len(latents))[:BATCH]
    head.train()  # statistics of the batch, as while training
    with torch.no_grad():
        h = densities(head.normal(torch.from_numpy(latents[at])), gamma)
    head.eval()
    return np.asarray(h.double().mean(dim=0).numpy())
