"""Which network a clusterer trains: one chosen by its data, one of ours by name, or the caller's own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nervure import nets
from nervure.cluster.encode import BATCH
from nervure.cluster.net import attach_head
from nervure.cluster.runs import method_of, own_function
from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.nets.build import function_of
from nervure.nets.default import default_autoencoder
from nervure.nets.table import networks
from nervure.registry import takes

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = ["PUBLISHED", "auto_encoder", "latent_of", "score_network", "takes_latent"]

PUBLISHED = {"encoder_fc": "dense", "decoder": "literal"}
"""The layers of a convolutional auto-encoder as the thesis prints them (spec deepcluster, 2.1)."""

Network = tuple[str | nn.Module, dict[str, object], int]
"""A name or a module, its settings, and the size of a latent."""


def auto_encoder(estimator: DeepClusterer, ds: Dataset, *, dense: bool = False) -> Network:
    """The auto-encoder of an estimator; ``dense`` prefers dense layers where no series is padded."""
    profile, latent = estimator.profiles[estimator.profile], latent_of(estimator)
    if isinstance(estimator.network, nn.Module):
        size = latent_size(estimator.network, ds)
        if estimator.latent not in (None, size):
            raise InputError(
                f"latent = {estimator.latent}: latents of the network given have {size} values; leave it out"
            )
        return estimator.network, {}, size
    name, settings = default_autoencoder(ds.kind, ds.in_shape, ds.mask is not None)
    if dense and ds.mask is None:
        widths = profile.get("widths")
        name, settings = "autoencoder", {} if widths is None else {"widths": widths}
    if estimator.network is not None and estimator.network != name:
        name, settings = estimator.network, {}
    if name == "conv-autoencoder":
        settings = {**settings, **(profile.get("layers") or {})}
    offered = {**settings, "latent": latent, "output": _output(estimator, ds)}
    asked = dict(estimator.network_options or {})
    if own_function(estimator) is None:
        known = takes(networks.get(name), given=2) if name in networks else None
        if name.endswith(".json") or (known is not None and "latent" not in known):
            some = ", ".join(one for one in networks.names() if one.endswith("autoencoder"))
            raise InputError(
                f"{method_of(estimator)} needs an auto-encoder, and {name} is none; take one of {some}, or another "
                "method: neural-mixture, iic or deep-cluster"
            )
        if "latent" in asked:
            raise InputError("network_options: 'latent' has a parameter of its own; give latent=")
        return name, {**offered, **asked}, latent
    if estimator.latent is not None:
        asked["latent"] = latent
    return name, *own_settings(name, offered, asked, estimator.n_clusters, ds)


def latent_of(estimator: DeepClusterer) -> int:
    """The size of a latent of an auto-encoder that takes one: as asked, or by the profile.

    >>> from nervure.cluster import DCAEGMM, DCAEKMeans
    >>> latent_of(DCAEGMM(5)), latent_of(DCAEKMeans(5)), latent_of(DCAEKMeans(5, latent=3))
    (10, 5, 3)
    """
    each = estimator.profiles.get(estimator.profile, {}).get("latents")
    return estimator.latent or estimator.n_clusters * int(each or 1)


def takes_latent(estimator: DeepClusterer) -> bool:
    """Whether the network of an estimator can be told how large a latent is to be.

    >>> from nervure.cluster import DCAEKMeans
    >>> takes_latent(DCAEKMeans(5)), takes_latent(DCAEKMeans(5, network=nn.Linear(2, 2)))
    (True, False)
    """
    if isinstance(estimator.network, nn.Module):
        return False
    own = own_function(estimator)
    known = None if own is None else takes(function_of(own), given=2)
    return known is None or "latent" in known


def _output(estimator: DeepClusterer, ds: Dataset) -> str:
    """As published, samples between 0 and 1 are reconstructed through a sigmoid; ours are not.

    On dark pictures it falls to 0 in the first steps, where it hardly has a gradient, and stays there.
    """
    if estimator.profile != "paper":
        return "linear"
    at = ds.indices("train")
    parts = (ds.batch(at[start : start + BATCH]).x for start in range(0, len(at), BATCH))
    return "sigmoid" if all(float(part.min()) >= 0 and float(part.max()) <= 1 for part in parts) else "linear"


def score_network(estimator: DeepClusterer, ds: Dataset) -> Network:
    """The network that gives scores, its settings, and how many values its last dense layer reads."""
    network: str | nn.Module | None = estimator.network
    options: dict[str, Any] = dict(estimator.network_options or {})
    if not isinstance(network, nn.Module):
        if network is None:
            network = "series-cnn" if ds.mask is not None else "mixture-cnn"
        probe = nets.build(network, in_shape=ds.in_shape, classes=estimator.n_clusters, **options)
    else:
        probe = network
    return network, options, latent_size(probe, ds)


def latent_size(network: nn.Module, ds: Dataset) -> int:
    """How many values the encoder of a network, or all of it but its last dense layer, gives for a sample.

    >>> import numpy as np
    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.random.default_rng(0).normal(size=(20, 4)))
    >>> latent_size(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), ds)
    8
    """
    probe = attach_head(copy.deepcopy(network), "centres", 1, latent=1).eval()
    batch = ds.batch(ds.indices("train")[:2])
    with torch.no_grad():
        return int(probe.raw(batch.x, batch.mask).shape[1])


def own_settings(
    name: str, offered: Mapping[str, Any], asked: Mapping[str, Any], clusters: int, ds: Dataset
) -> tuple[dict[str, object], int]:
    """What the caller's own function is given, and the latent size of what it makes.

    It is given all that was asked for, and of what is offered that which it takes.

    >>> import numpy as np
    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.random.default_rng(0).normal(size=(20, 4)))
    >>> offered = {"latent": 3, "output": "linear", "sides": 2}
    >>> own_settings("nervure.nets.autoencoder:autoencoder", offered, {"widths": [8]}, 3, ds)
    ({'latent': 3, 'output': 'linear', 'widths': [8]}, 3)
    """
    known = takes(function_of(name), given=2)
    settings = {key: value for key, value in offered.items() if known is None or key in known} | dict(asked)
    return settings, latent_size(nets.build(name, in_shape=ds.in_shape, classes=clusters, **settings), ds)
