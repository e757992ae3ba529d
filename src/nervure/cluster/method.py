"""Method: what a clusterer trains, as data; and the network that it begins with."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nervure import nets
from nervure.cluster.net import ClusterNet, attach_head
from nervure.data.dataset import Dataset
from nervure.nets.origin import Base, Origin, attach, origin_of
from nervure.train.recipe import Recipe

__all__ = ["Method", "begin", "warm_epochs", "with_options"]


@dataclass(frozen=True)
class Method:
    """A network with a head, and the recipe that trains both.

    Parameters
    ----------
    network, network_options : str or Module, dict
        As :func:`nervure.nets.build` takes them; a module of the caller's is copied.
    head, head_options : str, dict
        A name of ``nervure.cluster.heads`` and its settings.
    latent : int
        Size of a latent.
    norm : str
        ``none`` or ``batchnorm``, of the latents.
    label_outputs : int
        Labels to predict behind the reconstruction; 0 for none.
    recipe : Recipe
        With the objective ``clustering`` and the callback ``cluster-phase``.
    labels : array (n,), optional
        What supervises, -1 where unknown.
    """

    network: str | nn.Module
    head: str
    latent: int
    recipe: Recipe
    network_options: Mapping[str, Any] = field(default_factory=dict)
    head_options: Mapping[str, Any] = field(default_factory=dict)
    norm: str = "none"
    label_outputs: int = 0
    labels: NDArray[np.int64] | None = None


def begin(method: Method, clusters: int, ds: Dataset) -> ClusterNet:
    """The untrained clusterer of a method, for data of this shape; it carries its Origin.

    >>> from nervure.data import from_arrays
    >>> import numpy as np
    >>> ds = from_arrays(np.random.default_rng(0).normal(size=(20, 4)))
    >>> options = {"widths": [8], "latent": 2}
    >>> net = begin(Method("autoencoder", "centres", 2, Recipe(), options), 3, ds)
    >>> [step.kind for step in nets.origin_of(net).steps]
    ['cluster']
    """
    seed = method.recipe.seed
    if isinstance(method.network, nn.Module):
        base = copy.deepcopy(method.network)
        if origin_of(base) is None:  # so that its run loads where the caller says how the module is made
            kind = type(base)
            attach(base, Origin(Base("function", f"{kind.__module__}:{kind.__qualname__}", ds.in_shape, clusters, {})))
    else:
        base = nets.build(
            method.network, in_shape=ds.in_shape, classes=clusters, seed=seed, **dict(method.network_options)
        )
    return attach_head(
        base,
        method.head,
        clusters,
        latent=method.latent,
        norm=method.norm,
        label_outputs=method.label_outputs,
        seed=seed,
        **dict(method.head_options),
    )


def warm_epochs(recipe: Recipe) -> int:
    """Epochs in which clusters take no part: what the phase, the first callback, is told.

    >>> from nervure.train.recipe import CallbackSpec
    >>> warm_epochs(Recipe(callbacks=[CallbackSpec(name="cluster-phase", options={"warmup": 2})]))
    2
    """
    warmup: Any = recipe.callbacks[0].options.get("warmup", 0)
    return int(warmup)


def with_options(method: Method, options: Mapping[str, object], **fields: object) -> Method:
    """The method with further options of its objective, and further fields of its recipe.

    >>> method = with_options(Method("autoencoder", "centres", 2, Recipe()), {"weight": 0.2}, epochs=3)
    >>> method.recipe.objective_options, method.recipe.epochs
    ({'weight': 0.2}, 3)
    """
    more = {"objective_options": {**method.recipe.objective_options, **options}, **fields}
    return dataclasses.replace(method, recipe=method.recipe.model_copy(update=more))
