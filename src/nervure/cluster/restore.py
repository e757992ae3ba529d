"""Samples changed at random, from which an auto-encoder restores what they were (spec deepcluster, S8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nervure.cluster.method import Method
from nervure.data.dataset import Dataset
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = ["restored"]

USUAL = {"rotate": 10.0, "shift": 0.1}
"""How pictures are changed by a robust auto-encoder."""

LARGE = 16
"""Pixels of a side from which on they are: on smaller pictures so small a turn only blurs."""


def restored(estimator: DeepClusterer, ds: Dataset, method: Method) -> Mapping[str, object]:
    """How an estimator changes samples that it restores, as options of an augmentation; nothing if it does not.

    >>> from nervure import data
    >>> from nervure.cluster import DCAEKMeans
    >>> ds, model = data.load("digits"), DCAEKMeans(10, restore={"shift": 0.1})
    >>> restored(model, ds, model.method(ds, 0, 0)), restored(DCAEKMeans(10), ds, model.method(ds, 0, 0))
    ({'shift': 0.1}, {})
    """
    restore, augment = estimator.restore, estimator.augment
    if restore is None:
        asked = estimator.profiles[estimator.profile].get("restore") and not augment
        return USUAL if asked and ds.kind == "image" and min(ds.in_shape[1:]) >= LARGE else {}
    if restore and augment:
        raise InputError("augment reconstructs to the changed sample, restore to the sample; give one of them")
    if restore and method.recipe.objective_options.get("reconstruction") == 0:
        raise InputError(f"restore: {type(estimator).__name__} has no auto-encoder that could restore a sample")
    return restore
