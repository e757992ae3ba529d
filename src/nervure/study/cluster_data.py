"""The data of a trial of clustering: what is fitted, without its labels, what is only measured, and what is known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nervure import data
from nervure.data import Dataset
from nervure.data.dataset import Indices
from nervure.data.few import keep_labels, parent_labels
from nervure.data.links import draw_links
from nervure.errors import InputError
from nervure.study.trials import Job

if TYPE_CHECKING:
    from nervure.study.cluster_trial import ClusterSettings

__all__ = ["Work", "pooled", "work_of"]


@dataclass(frozen=True, eq=False)
class Work:
    """One clustering to be made and measured.

    Parameters
    ----------
    fitted : Dataset
        Its samples, all of them for training; it has no labels.
    truth : array (n,)
        Their classes, which only measuring looks at.
    name : str
        What these samples are called in measures: ``all`` or ``train``.
    test, test_truth : Dataset, array, optional
        Samples that are only measured.
    labels, links
        What the fit is told.
    clusters : int
        How many are asked for.
    """

    fitted: Dataset
    truth: Indices
    name: str
    clusters: int
    test: Dataset | None = None
    test_truth: Indices | None = None
    labels: Indices | None = None
    links: dict[str, Indices] | None = None


def work_of(job: Job, settings: ClusterSettings, member: str = "", more: dict[str, object] | None = None) -> Work:
    """Load and divide the data of a trial; ``member`` names one set of an archive, ``more`` are further options.

    >>> from nervure.study.cluster_trial import ClusterSettings
    >>> work = work_of(Job("digits"), ClusterSettings(method="raw-kmeans", fit="train", samples=90))
    >>> len(work.fitted), work.fitted.y is None, len(work.test), work.clusters
    (90, True, 359, 10)
    """
    ds, y = _loaded(job, settings, member, more or {})
    at = ds.indices("train") if settings.fit == "train" else ds.indices()
    if settings.samples is not None and settings.samples < len(at):
        at = np.sort(np.random.default_rng(0).permutation(at)[: settings.samples])
    classes = int(y.max()) + 1
    labels, at = _told(settings, y, at, job.seed)
    links = None
    if settings.links:
        drawn = draw_links(y[at], settings.links, job.seed)
        links = {"must": drawn.must, "cannot": drawn.cannot}
    test = ds.indices("test") if settings.fit == "train" else np.empty(0, np.int64)
    return Work(
        fitted=_unlabelled(ds, at),
        truth=y[at],
        name=settings.fit,
        clusters=settings.clusters or classes,
        test=_unlabelled(ds, test) if len(test) else None,
        test_truth=y[test] if len(test) else None,
        labels=labels,
        links=links,
    )


def _loaded(job: Job, settings: ClusterSettings, member: str, more: dict[str, object]) -> tuple[Dataset, Indices]:
    """The data set, and the class of each sample."""
    source = f"{job.source}:{member}" if member else job.source
    place = None if job.data_dir is None else Path(job.data_dir)
    options: dict[str, Any] = {"validation": 0.0, **job.options, **settings.options, **more}
    ds = pooled(data.load(source, data_dir=place, **options), settings.pool)
    if ds.y is None or ds.task != "classification":
        raise InputError(f"{source}: the trial measures clusters against classes, and this data has none")
    y = ds.y.astype(np.int64)
    if settings.groups:
        if len(settings.groups) < len(ds.names):
            raise InputError(f"{source}: {len(settings.groups)} groups for {len(ds.names)} classes; give one for each")
        y = np.where(y >= 0, np.asarray(settings.groups, dtype=np.int64)[y], -1)
    return ds, y


def _told(settings: ClusterSettings, y: Indices, at: Indices, seed: int) -> tuple[Indices | None, Indices]:
    """What the fit is told of its samples' classes, and which samples it gets."""
    if settings.supervision == "none":
        return None, at
    known = y[at] if settings.keep is None else keep_labels(y[at], settings.keep, seed)
    if settings.only_labelled:
        at, known = at[known >= 0], known[known >= 0]
    return parent_labels(known) if settings.supervision == "parents" else known, at


def _unlabelled(ds: Dataset, at: Indices) -> Dataset:
    """The samples at ``at`` alone, for training, without labels."""
    bare = dataclasses.replace(ds, y=None, task="none", names=(), splits={})
    some = bare.subset(at)
    return dataclasses.replace(some, splits={"train": some.indices()})


def pooled(ds: Dataset, factor: int) -> Dataset:
    """Images whose sides are shorter by ``factor``: each value is the mean of a square.

    >>> small = pooled(data.load("digits"), 2)
    >>> small.in_shape, len(small)
    ((1, 4, 4), 1797)
    """
    if factor == 1:
        return ds
    if ds.kind != "image" or any(side % factor for side in ds.in_shape[1:]):
        raise InputError(f"{ds.source}: samples of shape {ds.in_shape} cannot be pooled by {factor}")
    n, channels, height, width = ds.x.shape
    parts = []
    for start in range(0, n, 4096):
        part = np.asarray(ds.x[start : start + 4096], dtype=np.float32)
        squares = part.reshape(len(part), channels, height // factor, factor, width // factor, factor)
        mean = squares.mean(axis=(3, 5))
        parts.append((mean.round() if ds.x.dtype.kind in "iu" else mean).astype(ds.x.dtype))
    return dataclasses.replace(ds, x=np.concatenate(parts), fingerprint=f"{ds.fingerprint}/{factor}")
