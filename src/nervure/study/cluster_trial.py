"""The trial ``cluster``: group samples by one method, and measure the groups against classes that it never saw.

Source: spec deepcluster, 1.1, 4 and 5; spec neural-mixture-clustering, 6.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from nervure.cluster import clusterers
from nervure.cluster.heads import Group
from nervure.cluster.runs import begun
from nervure.data.dataset import Dataset, Indices
from nervure.errors import InputError
from nervure.features import agreement
from nervure.registry import nearest
from nervure.study.cluster_controls import CONTROLS
from nervure.study.cluster_data import Work, work_of
from nervure.study.cluster_measures import agreement_on, latent_measures, mapped, mean_of, refitted
from nervure.study.merge import merged
from nervure.study.settings import TrialSettings
from nervure.study.trials import Job, Measured
from nervure.train import Recipe

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = ["UNTRAINED", "ClusterSettings", "cluster_trial", "fitted"]

UNTRAINED = "random-network"
"""The method that is a network of scores as it was drawn, with its scores normalised."""


class ClusterSettings(TrialSettings):
    """What the trial ``cluster`` is told.

    Parameters
    ----------
    method : str
        A name of ``nervure.cluster.clusterers``, or a control: ``raw-kmeans``, ``sobel-kmeans``, ``raw-gmm``,
        ``pca-gmm``, ``raw-spectral``, ``random-network``.
    deep, parameters : dict
        Parameters of an estimator: those of all, and the method's or the arm's own, which win. Controls take none, and
        methods without an auto-encoder no ``latent`` of all.
    recipe : dict
        Fields of the recipe that the estimator itself has no parameter for.
    options : dict
        Further options of the data.
    fit : str
        ``all`` samples are grouped and measured, or those of the split ``train``, and the split ``test`` is measured
        too.
    samples : int, optional
        At most so many are grouped, drawn the same way each time.
    pool : int
        Images are made smaller by this factor first.
    groups : sequence of int
        The class of each class: coarser ones.
    clusters : int, optional
        As many as classes if not given.
    supervision : str
        ``none``; ``labels``; ``parents``: whether the class is one of the first five.
    keep : float or int, optional
        The share, or number, of labels that are told; all if not given.
    only_labelled : bool
        Whether samples without a label are left out.
    links : int
        Pairs of samples that the fit is told to be together or apart, as their classes are.
    steps : int, optional
        So many steps of training, in whole epochs, in place of a number of epochs.
    sets : sequence of str
        Members of an archive; each is grouped, and the mean measured.
    folds : int, optional
        Of windows: each fold is the test split once, and the mean is measured.

    Examples
    --------
    >>> ClusterSettings.read({"method": "dcae-kmean"})
    Traceback (most recent call last):
    nervure.errors.InputError: trial 'cluster': unknown method 'dcae-kmean'; did you mean 'dcae-kmeans'? There are: ...
    """

    trial: ClassVar[str] = "cluster"

    method: str
    deep: dict[str, object] = Field(default_factory=dict)
    parameters: dict[str, object] = Field(default_factory=dict)
    recipe: dict[str, object] = Field(default_factory=dict)
    options: dict[str, object] = Field(default_factory=dict)
    fit: Literal["all", "train"] = "all"
    samples: int | None = Field(None, ge=2)
    pool: int = Field(1, ge=1)
    groups: tuple[int, ...] = ()
    clusters: int | None = Field(None, ge=2)
    supervision: Literal["none", "labels", "parents"] = "none"
    keep: float | int | None = None
    only_labelled: bool = False
    links: int = Field(0, ge=0)
    steps: int | None = Field(None, ge=1)
    sets: tuple[str, ...] = ()
    folds: int | None = Field(None, ge=2)

    @classmethod
    def read(cls, settings: dict[str, object]) -> Self:
        """From JSON settings."""
        found = super().read(settings)
        known = (*CONTROLS, UNTRAINED, *clusterers.names())
        if found.method not in known:
            raise InputError(f"trial {cls.trial!r}: unknown method {found.method!r}; {nearest(found.method, known)}")
        return found

    @model_validator(mode="after")
    def _agree(self) -> ClusterSettings:
        told = self.supervision != "none" or self.links
        if told and self.method in (*CONTROLS, UNTRAINED):
            raise ValueError(f"{self.method} learns nothing and cannot be supervised")
        if self.supervision == "none" and (self.keep is not None or self.only_labelled):
            raise ValueError("keep and only_labelled are of labels; give a supervision")
        if self.folds is not None and (self.fit != "train" or self.sets):
            raise ValueError("folds are of one data set, with fit = 'train'")
        return self

    @property
    def kind(self) -> type[DeepClusterer]:
        """The class of the estimator that is asked for."""
        return clusterers.get("neural-mixture" if self.method == UNTRAINED else self.method)

    def estimator(self, samples: int, clusters: int, seed: int, device: str) -> DeepClusterer:
        """The estimator that is asked for, untrained, for so many samples.

        >>> made = ClusterSettings(method="aec", deep={"epochs": 9}, parameters={"lr": 0.01}, steps=40)
        >>> made.estimator(samples=1000, clusters=3, seed=0, device="cpu").epochs
        4
        """
        kind = self.kind
        shared = self.deep if kind.reconstructs else {name: self.deep[name] for name in self.deep if name != "latent"}
        given: dict[str, Any] = merged(shared, self.parameters)
        if self.steps is not None:
            own = kind.profiles[str(given.get("profile", "robust"))]
            batches = -(-samples // int(given.get("batch_size") or own["batch_size"]))
            given["epochs"] = max(1, round(self.steps / batches))
        known = tuple(one.name for one in dataclasses.fields(kind) if one.init)
        if strange := sorted(set(given) - set(known)):
            raise InputError(f"method {self.method!r}: unknown parameter {strange[0]!r}; {nearest(strange[0], known)}")
        return kind(clusters, **{"random_state": seed, "device": device, **given})


class Found(NamedTuple):
    """Clusters of the fitted samples and of the test samples, and what else was measured."""

    clusters: Indices
    test: Indices | None
    measures: dict[str, float]


def cluster_trial(job: Job) -> Measured:
    """Group samples and measure the groups.

    ``acc``, ``nmi`` (geometric), ``nmi_arithmetic`` and ``ari`` are named after the samples: ``_all``, or ``_train``
    and ``_test``. ``acc_refit`` is that of k-means on the final latents, ``acc_mapped_test`` that by the matching of
    the training samples. Further ``clusters``, ``effective_clusters``, ``latent_spread``, ``epochs``, ``samples`` and
    ``seconds`` of the fit. Of several sets or folds each measure is the mean; ``acc`` and ``nmi`` of each set are
    there too, and of folds ``acc_test_spread``.

    >>> job = Job("digits", settings={"method": "raw-kmeans", "samples": 500}, device="cpu")
    >>> round(cluster_trial(job).metrics["acc_all"], 1)
    0.8
    """
    settings = ClusterSettings.read(job.settings)
    if settings.sets:
        each = {name: _once(job, settings, name) for name in settings.sets}
        return Measured(mean_of(each, (f"acc_{settings.fit}", f"nmi_{settings.fit}")))
    if settings.folds is not None:
        found = {}
        for fold in range(settings.folds):
            found[str(fold)] = _once(job, settings, more={"folds": settings.folds, "fold": fold})
        spread = np.std([part["acc_test"] for part in found.values()], ddof=1)
        return Measured({**mean_of(found), "acc_test_spread": float(spread)})
    return Measured(_once(job, settings))


def _once(
    job: Job, settings: ClusterSettings, member: str = "", more: dict[str, object] | None = None
) -> dict[str, float]:
    """The measures of one clustering."""
    work = work_of(job, settings, member, more)
    if settings.method not in CONTROLS:
        _ = settings.kind  # what it imports is not to be timed
    started = time.perf_counter()
    if settings.method in CONTROLS:
        found = _controlled(settings.method, work, job.seed)
        seconds = time.perf_counter() - started
    else:
        model = fitted(job, settings, work)
        seconds = time.perf_counter() - started
        found = _deep(model, work, job.seed)
    sizes = np.bincount(found.clusters[found.clusters >= 0], minlength=work.clusters)
    measures = agreement_on(work.name, work.truth, found.clusters)
    if found.test is not None and work.test_truth is not None:
        measures |= agreement_on("test", work.test_truth, found.test)
        measures["acc_mapped_test"] = mapped(work.truth, found.clusters, work.test_truth, found.test)
    return {
        **measures,
        **found.measures,
        "clusters": float((sizes > 0).sum()),
        "effective_clusters": agreement.effective_number(sizes),
        "samples": float(len(work.fitted)),
        "seconds": seconds,
    }


def fitted(job: Job, settings: ClusterSettings, work: Work) -> DeepClusterer:
    """The estimator of a trial, fitted to the samples, told only what the settings allow.

    >>> settings = ClusterSettings(method="random-network", samples=50)
    >>> job = Job("digits", device="cpu")
    >>> fitted(job, settings, work_of(job, settings)).n_iter_
    0
    """
    model = settings.estimator(len(work.fitted), work.clusters, job.seed, job.device)
    ds, method = model.prepared(work.fitted, work.labels, work.links)
    if settings.recipe:
        recipe = Recipe.of({**method.recipe.to_json(), **settings.recipe})
        method = dataclasses.replace(method, recipe=recipe)
    if settings.method == UNTRAINED:
        model.adopt(begun(model, method, ds))
        _begin(model, ds)
        return model
    return model.adopt(model.trained(method, ds))


def _begin(model: DeepClusterer, ds: Dataset) -> None:
    """Measure the scores of a network that was never trained."""
    latents = model.transform(ds)
    model.net_.head.begin(Group.alone(torch.from_numpy(latents)))


def _controlled(method: str, work: Work, seed: int) -> Found:
    others = [] if work.test is None else [work.test]
    clusters, *rest = CONTROLS[method](work.fitted, others, work.clusters, seed)
    assert clusters is not None
    return Found(clusters, rest[0] if rest else None, {})


def _deep(model: DeepClusterer, work: Work, seed: int) -> Found:
    """Clusters by a fitted estimator, and the measures of its latents."""
    parts = [work.fitted] if work.test is None else [work.fitted, work.test]
    clusters = [model.predict(one) for one in parts]
    latents = [model.transform(one) for one in parts]
    again = refitted(latents[0], latents[1:], work.clusters, seed)
    measures = {**latent_measures(latents[0]), "epochs": float(model.n_iter_)}
    measures[f"acc_refit_{work.name}"] = agreement.matched_accuracy(work.truth, again[0])
    if work.test_truth is not None:
        measures["acc_refit_test"] = agreement.matched_accuracy(work.test_truth, again[1])
    return Found(clusters[0], clusters[1] if work.test is not None else None, measures)
