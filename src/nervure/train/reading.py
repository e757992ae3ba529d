"""How a run reads data: with its own preprocessing, and with classes numbered as it numbers them."""

from __future__ import annotations

import dataclasses

import numpy as np

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.store.run import Run, own_task

__all__ = ["labelled", "read_by"]


def read_by(run: Run, ds: Dataset) -> Dataset:
    """The data as the run's network reads it, whatever the data says of itself.

    Its preprocessing is the run's; but picture files keep their scale, which brings their bytes to the range from 0 to
    1, since the run may have been trained on arrays of another range. A network that was saved alone knows of no data,
    so that it reads any as it is.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> run = nv.store.Run.of(nv.nets.build("mlp", ds), ds)
    >>> far = nv.data.from_arrays(100.0 * ds.x, kind="image")
    >>> read_by(run, far).preprocessing == ds.preprocessing != far.preprocessing
    True
    """
    if not run.source:
        return ds
    if ds.kind != run.kind or ds.in_shape[0] != run.in_shape[0]:
        raise InputError(
            f"{ds.source} holds {ds.kind} samples of shape {ds.in_shape}, {_called(run)} reads {run.kind} of "
            f"{run.in_shape}"
        )
    files = ds.kind == "image" and bool(ds.items)
    scale = (ds if files else run).preprocessing.scale
    return dataclasses.replace(ds, preprocessing=dataclasses.replace(run.preprocessing, scale=scale))


def labelled(run: Run, ds: Dataset) -> Dataset:
    """The data with classes numbered as the run numbers them, by their names; it may lack some.

    A run that learnt without labels is measured without them.

    Examples
    --------
    >>> import nervure as nv, numpy as np
    >>> ds = nv.data.from_arrays(np.eye(20), np.arange(20) % 2, names=["cat", "dog"])
    >>> run = nv.store.Run.of(nv.nets.build("mlp", ds), ds)
    >>> turned = nv.data.from_arrays(np.eye(20), np.arange(20) % 2, names=["dog", "cat"])
    >>> labelled(run, turned).y[:3], labelled(run, turned).names
    (array([1, 0, 1]), ('cat', 'dog'))
    """
    if run.task == "clustering" or own_task(run.net) or not run.source:  # not to tell the data's classes
        return ds
    if run.task == "none":
        return dataclasses.replace(ds, y=None, task="none", names=())
    if run.task != ds.task:
        raise InputError(f"{ds.source}: its task is {ds.task}, that of {_called(run)} is {run.task}")
    if ds.task != "classification" or ds.names == run.names or ds.y is None:
        return ds
    if strangers := [name for name in ds.names if name not in run.names]:
        known = ", ".join(run.names[:10]) + (", ..." if len(run.names) > 10 else "")
        raise InputError(f"{ds.source}: {_called(run)} knows no class {strangers[0]!r}; there are: {known}")
    place = np.array([*(run.names.index(name) for name in ds.names), -1])  # the last serves -1, unknown
    return dataclasses.replace(ds, y=place[ds.y.astype(np.int64)], names=run.names)


def _called(run: Run) -> str:
    return "the run" if run.path is None else str(run.path)
