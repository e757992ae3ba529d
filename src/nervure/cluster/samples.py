"""What an estimator is given becomes a Dataset: arrays as scikit-learn hands them over, or a Dataset as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nervure.data import from_arrays
from nervure.data.dataset import Dataset, Indices, Kind
from nervure.data.measure import measure
from nervure.data.series import joined
from nervure.errors import InputError

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["check_padding", "known_labels", "new_data", "to_dataset"]

SCALING: dict[Kind, str] = {"image": "each-min-max", "series": "standard", "table": "standard"}
"""How samples become network input by default: images by their own extremes (spec deepcluster, Eq 3.14)."""


def checked(estimator: BaseEstimator, x: Any, *, reset: bool) -> NDArray[np.generic]:
    """An array that scikit-learn has looked at: numbers, finite where it is a table, no sparse matrix."""
    from scipy import sparse
    from sklearn.utils.validation import check_array, validate_data

    if sparse.issparse(x):
        raise TypeError("Sparse data was passed for X, but dense data is required. Use X.toarray() to make it dense.")
    if isinstance(x, list | tuple) and _are_series(x):
        x = joined(x, "arrays")
    kinds = [np.float64, np.float32, np.uint8, np.uint16, np.int16, np.int32, np.int64]
    if np.asarray(x).ndim <= 2:
        table: NDArray[np.generic] = validate_data(estimator, x, reset=reset, dtype=kinds)
        return table
    array: NDArray[np.generic] = check_array(x, allow_nd=True, ensure_all_finite=False, dtype=kinds)
    if reset:
        estimator.n_features_in_ = array.shape[1]
    return array


def _are_series(x: Sequence[Any]) -> bool:
    """Whether samples are series (channels, time), or series (time,) of unequal lengths: equal ones are a table."""
    if not len(x) or np.ndim(x[0]) != 1:
        return bool(len(x)) and np.ndim(x[0]) == 2
    return all(np.ndim(one) == 1 for one in x) and len({len(one) for one in x}) > 1


def to_dataset(estimator: BaseEstimator, x: Any, scaling: str | bool | None, kind: Kind | None = None) -> Dataset:
    """All samples as the training split of a Dataset without labels; of a Dataset the scaling is its own."""
    if isinstance(x, Dataset):
        if scaling is not None and x.options.get("standardize") != scaling and not _scaled(x, scaling):
            raise InputError(
                f"scaling={scaling!r}: {x.source} is a Dataset, made with a scaling of its own; leave scaling out, or "
                f"make the Dataset with standardize={scaling!r}"
            )
        estimator.n_features_in_ = x.in_shape[0]
        return x
    array = checked(estimator, x, reset=True)
    count = len(array)
    shaped = array if array.dtype != np.int64 else array.astype(np.float64)
    plain = from_arrays(
        shaped,
        kind=kind,
        splits={"train": np.arange(count)},
        validation=0,
        test=0,
        standardize=False,
    )
    ds = from_arrays(
        shaped,
        columns=getattr(estimator, "feature_names_in_", ()) if plain.kind == "table" else (),
        kind=kind,
        splits={"train": np.arange(count)},
        validation=0,
        test=0,
        standardize=SCALING[plain.kind] if scaling is None else scaling,  # type: ignore[arg-type]
    )
    return ds if scaling is None else dataclasses.replace(ds, options={"standardize": scaling})


def _scaled(ds: Dataset, scaling: str | bool) -> bool:
    """Whether samples become network input as such a scaling of the training samples would make them."""
    how: Any = scaling
    train, scale = ds.indices("train"), ds.preprocessing.scale
    return measure(ds.x, ds.kind, train, mask=ds.mask, scale=scale, standardize=how) == ds.preprocessing


def new_data(estimator: Any, x: Any) -> Dataset:
    """New samples, scaled as those of the fit were; another shape is refused."""
    if isinstance(x, Dataset):
        ds = x
    else:
        if estimator.run_.kind == "series" and isinstance(x, list | tuple):
            x = [np.atleast_2d(one) if np.ndim(one) == 1 else one for one in x]
        array = checked(estimator, x, reset=False)
        shaped = array if array.dtype != np.int64 else array.astype(np.float64)
        ds = from_arrays(
            shaped,
            kind=estimator.run_.kind,
            splits={"train": np.arange(len(array))},
            validation=0,
            test=0,
            standardize=False,
        )
    shape = tuple(estimator.run_.in_shape)
    same = ds.in_shape == shape or (ds.kind == "series" and ds.in_shape[:1] == shape[:1] and estimator.any_length_)
    if not same or ds.kind != estimator.run_.kind:
        raise ValueError(
            f"X has samples of shape {ds.in_shape}, {type(estimator).__name__} was fitted on samples of shape {shape}"
        )
    check_padding(ds, estimator.any_length_)
    return dataclasses.replace(ds, preprocessing=estimator.run_.preprocessing)


def check_padding(ds: Dataset, masks: bool) -> None:
    """Refuse series of unequal lengths where a network does not read ``masks`` and would take padding for data."""
    if ds.mask is not None and not masks and not ds.mask.all():
        raise InputError(
            f"{ds.source}: {int((~ds.mask.all(axis=1)).sum())} series are shorter than others, and the network would "
            "read their padding as data; take network='dilated-autoencoder', or series of one length"
        )


def known_labels(
    labels: ArrayLike | None, count: int, parents: Sequence[int] = (), *, train: Indices | None = None
) -> NDArray[np.int64] | None:
    """What supervises (n,), numbered from 0, with -1 for unknown: labels, or their groups (spec deepcluster, S11).

    Without labels nothing does. Samples at ``train`` are those that are learnt from, by default all; a label that none
    of them has is unknown.

    >>> known_labels([3, -1, 5], 3)
    array([ 0, -1,  1])
    >>> known_labels([0, -1, 2, 3], 4, parents=[0, 0, 0, 1])
    array([ 0, -1,  0,  1])
    >>> known_labels([3, 7, 5], 3, train=np.array([0, 2]))
    array([ 0, -1,  1])
    """
    if labels is None:
        if len(parents):
            raise InputError("parents: they group labels, and none are given; give labels too, or leave them out")
        return None
    found = np.asarray(labels)
    if found.shape != (count,):
        raise InputError(f"labels: {found.shape} labels for {count} samples; give one each, -1 where unknown")
    try:
        numbers = found.astype(np.float64)
    except (TypeError, ValueError):
        numbers = np.full(count, np.nan)
    if not (numbers == np.round(numbers)).all():
        raise InputError("labels: give whole numbers from 0, and -1 where a label is unknown")
    found = numbers.astype(np.int64)
    if (found < -1).any():
        raise InputError(f"labels: a label of {found.min()}; give -1 where a label is unknown, 0 and up elsewhere")
    known = np.unique(found[found >= 0])
    if not len(known):
        raise InputError("labels: every label is unknown; fit without labels")
    if len(parents):
        if min(parents) < 0:
            raise InputError(f"parents: a group of {min(parents)}; give groups from 0")
        if len(parents) <= known[-1]:
            raise InputError(f"parents: {len(parents)} groups for {known[-1] + 1} labels; give the group of each label")
        found = np.where(found >= 0, np.asarray(parents, dtype=np.int64)[found], -1)
    learnt = found if train is None else found[train]
    known = np.unique(learnt[learnt >= 0])
    if not len(known):
        raise InputError("labels: no training sample has a known label; give labels of such samples, or no splits")
    return np.where(np.isin(found, known), np.searchsorted(known, found), -1)
