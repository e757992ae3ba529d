"""What is refused before a clusterer is fitted: parameters and links that no training could satisfy."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
from torch import nn

from nervure.data.dataset import Dataset
from nervure.data.links import Given, Links, as_links, crowd
from nervure.errors import InputError
from nervure.nets.parts import choose
from nervure.objectives.reconstruction import Distance
from nervure.registry import nearest

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = ["check", "check_links"]

ELSEWHERE = {
    "epochs": "epochs", "batch": "batch_size", "lr": "lr", "weight_decay": "weight_decay", "augment": "augment",
    "copies": "restore", "seed": "random_state",
}  # fmt: skip
"""Fields of a recipe, and the parameters that stand for them."""


def check(estimator: DeepClusterer, ds: Dataset) -> None:
    """Refuse parameters that do not suit the data, or each other."""
    clusters, profiles = estimator.n_clusters, tuple(estimator.profiles)
    count = len(ds.indices("train"))
    if clusters < 1:
        raise InputError(f"n_clusters = {clusters}; give a whole number from 1")
    if count < max(2, clusters):
        raise InputError(f"n_samples={count} cannot make n_clusters={clusters}; give more samples, or fewer clusters")
    if estimator.profile not in profiles:
        raise InputError(f"unknown profile {estimator.profile!r}; {nearest(estimator.profile, profiles)}")
    if estimator.latent is not None and estimator.latent < 1:
        raise InputError(f"latent = {estimator.latent}; give a whole number from 1")
    choose("distance", estimator.distance, get_args(Distance))
    for field in sorted(set(estimator.recipe or {}) & set(ELSEWHERE)):
        name = field if hasattr(estimator, field) else ELSEWHERE[field]
        raise InputError(f"recipe: {field!r} has a parameter of its own; give {name}=")
    if (estimator.recipe or {}).get("keep", "last") != "last":
        raise InputError("recipe: a clusterer keeps the last epoch, whose clusters are its own; leave 'keep' out")
    epochs = int(estimator._given("epochs"))
    if late := [one for one in estimator.snapshots if not 0 <= one <= epochs]:
        raise InputError(f"snapshots: epoch {late[0]} of {epochs}; give epochs from 0, before training, to {epochs}")
    if estimator.n_init is not None and estimator.n_init < 1:
        raise InputError(f"n_init = {estimator.n_init}; give a whole number from 1")
    if isinstance(estimator.network, nn.Module) and estimator.network_options:
        raise InputError("network_options: the network is a module as it stands; leave them out, or name a network")
    different: set[bytes] = set()
    for at in ds.indices("train"):  # as a rule no more samples are looked at than there are clusters
        different.add(ds.x[at].tobytes())
        if len(different) >= clusters:
            return
    raise InputError(f"{len(different)} different samples cannot make {clusters} clusters")


def check_links(given: Given, ds: Dataset, clusters: int) -> Links:
    """Links of training samples that ``clusters`` clusters can satisfy, as far as a quick search tells.

    >>> from nervure.data import load
    >>> check_links({"cannot": [(0, 1)]}, load("digits", validation=0, test=0), 1)
    Traceback (most recent call last):
    nervure.errors.InputError: links: samples 0, 1 cannot be together, but there are n_clusters=1; drop links
    """
    count = len(ds)
    links = as_links(given, count)
    named = np.unique(np.concatenate([links.must.ravel(), links.cannot.ravel()]))
    if len(outside := np.setdiff1d(named, ds.indices("train"))):
        raise InputError(f"links: sample {outside[0]} is held out; link training samples, or give no splits")
    apart = crowd(links, count, clusters + 1)
    if len(apart) > clusters:
        shown = ", ".join(map(str, apart))
        raise InputError(f"links: samples {shown} cannot be together, but there are n_clusters={clusters}; drop links")
    return links
