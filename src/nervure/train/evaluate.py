"""evaluate and predict: what a network makes of data, and how good that is."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import nn

from nervure.data.dataset import Dataset, Indices
from nervure.errors import DivergedError, InputError
from nervure.evidence import Bars, Curve, Figure, Matrix, Scatter
from nervure.nets.cost import count
from nervure.objectives.call import call
from nervure.store.run import Run, own_task
from nervure.train import metrics
from nervure.train.clustering import clustering
from nervure.train.diverged import first_broken
from nervure.train.reading import labelled, read_by
from nervure.train.runtime import pick_device

__all__ = ["Evaluation", "costs", "evaluate", "predict"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measures of one split, and the figures behind them."""

    split: str
    metrics: dict[str, float]
    evidence: dict[str, Figure] = field(default_factory=dict)


@torch.no_grad()
def predict(
    net: nn.Module | Run,
    ds: Dataset,
    indices: Indices | None = None,
    *,
    batch: int = 256,
    device: str = "auto",
) -> NDArray[np.float32]:
    """Outputs of a network (n, ...) for the samples at ``indices``, or for all.

    The network given is not changed: mode and device stay as they are. A run reads the data with its own preprocessing,
    a bare network with the data's.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> predict(nv.nets.build("lenet-300-100", ds), ds, ds.indices("test")[:5], device="cpu").shape
    (5, 10)
    """
    if isinstance(net, Run):
        ds, net = read_by(net, ds), net.net
    at = ds.indices() if indices is None else np.asarray(indices, dtype=np.int64)
    rows = [out for _, out in _outputs(net, ds, at, batch, device)]
    if not rows:
        raise InputError(f"{ds.source}: there is no sample to predict")
    return np.concatenate(rows)


def evaluate(
    net: nn.Module | Run, ds: Dataset, *, split: str = "test", batch: int = 256, device: str = "auto"
) -> Evaluation:
    """Measure a network on a split: quality by the task, and cost.

    Classification: accuracy, recall of each class, macro F1, expected calibration error and mean log loss.
    Regression and forecasts: mean absolute and root squared error, in the target's own unit. Clustering: how many
    clusters are in use and how sure they are, and agreement with labels where they are known. Without a task: mean
    squared error of the reconstruction, in units of the network's input.

    A run reads the data with its own preprocessing, and classes by their names: one that it has not learnt is refused.
    A bare network takes both as they are.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> found = evaluate(nv.nets.build("lenet-300-100", ds), ds, device="cpu")
    >>> sorted(found.metrics)[:4]
    ['accuracy', 'calibration_error', 'log_loss', 'macro_f1']
    """
    if isinstance(net, Run):
        ds, net = labelled(net, read_by(net, ds)), net.net
    at = ds.indices(split)
    task = own_task(net) or ds.task
    if task == "classification":
        assert ds.y is not None
        at = at[ds.y[at].astype(np.int64) >= 0]
    if not len(at):
        raise InputError(f"{ds.source}: the split {split!r} has no sample with a known label")
    if task == "clustering":
        logs = predict(net, ds, at, batch=batch, device=device)
        values, figures = clustering(logs, ds, at, getattr(net, "names", ()))
    elif task == "classification":
        values, figures = _classification(net, ds, at, batch, device)
    elif task == "regression":
        values, figures = _regression(net, ds, at, batch, device)
    else:
        values, figures = _reconstruction(net, ds, at, batch, device), {}
    what = costs(net, ds)
    return Evaluation(split, {**values, **what.metrics}, {**figures, **what.evidence})


def costs(net: nn.Module, ds: Dataset) -> Evaluation:
    """What a network costs, and nothing of how good it is.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> costs(nv.nets.build("mlp", ds, widths=[8]), ds).metrics
    {'parameters': 610.0, 'macs': 592.0}
    """
    values = {"parameters": float(sum(one.numel() for one in net.parameters()))}
    figures: dict[str, Figure] = {}
    try:
        cost = count(net, ds.in_shape)
    except InputError as error:
        log.warning("no multiply-adds are measured: %s", error)
    else:
        values["macs"], figures["cost"] = float(cost.ops), cost.table()
    return Evaluation("", values, figures)


def _classification(
    net: nn.Module, ds: Dataset, at: Indices, batch: int, device: str
) -> tuple[dict[str, float], dict[str, Figure]]:
    assert ds.y is not None
    scores = predict(net, ds, at, batch=batch, device=device).astype(np.float64)
    labels = ds.y[at].astype(np.int64)
    if scores.ndim != 2 or scores.shape[1] != ds.classes:
        raise InputError(f"the network gives outputs of shape {scores.shape[1:]}, the data has {ds.classes} classes")
    logs = log_softmax(scores, axis=1)
    predicted, confidence = scores.argmax(axis=1), np.exp(logs.max(axis=1))
    right = predicted == labels
    counts = metrics.confusion(labels, predicted, ds.classes)
    values = {
        "accuracy": metrics.accuracy(counts),
        "macro_f1": metrics.macro_f1(counts),
        "log_loss": float(-logs[np.arange(len(labels)), labels].mean()),
        "calibration_error": metrics.calibration_error(confidence, right),
    }
    return values, _class_figures(ds, counts, confidence, right)


def _class_figures(
    ds: Dataset, counts: NDArray[np.int64], confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> dict[str, Figure]:
    found = metrics.recall(counts)
    mean, share, number = metrics.calibration(confidence, right)
    there = number > 0
    worst = ds.names[int(np.nanargmin(found))]
    return {
        "confusion": Matrix(
            title="Confusion",
            alt=f"Labels against predictions of {counts.sum()} samples; {np.trace(counts)} lie on the diagonal.",
            values=counts,
            rows=ds.names,
            columns=ds.names,
            x_label="predicted",
            y_label="label",
            counts=True,
        ),
        "recall": Bars(
            title="Recall of each class",
            alt=f"Share of each class that was found; lowest for {worst} with {np.nanmin(found):.3f}.",
            values=found[None],
            bars=ds.names,
            series=("recall",),
            y_label="recall",
        ),
        "calibration": Curve(
            title="Calibration",
            alt="Accuracy against mean confidence in ten bins; a calibrated network lies on the diagonal.",
            x=np.array([0.0, *mean[there], 1.0]),
            y=np.array([[np.nan, *share[there], np.nan], [0.0, *mean[there], 1.0]]),
            labels=("accuracy", "calibrated"),
            x_label="confidence",
            y_label="accuracy",
        ),
    }


def _regression(
    net: nn.Module, ds: Dataset, at: Indices, batch: int, device: str
) -> tuple[dict[str, float], dict[str, Figure]]:
    assert ds.y is not None
    out = predict(net, ds, at, batch=batch, device=device).reshape(len(at), -1).astype(np.float64)
    target = ds.y[at].reshape(len(at), -1).astype(np.float64)
    if out.shape != target.shape:
        raise InputError(f"the network gives {out.shape[1]} outputs, the data has {target.shape[1]} targets")
    values = {"mae": metrics.absolute_error(target, out), "rmse": metrics.root_squared_error(target, out)}
    shown = np.linspace(0, len(at) - 1, min(len(at), 200)).astype(np.int64)
    alt = f"First output of {len(shown)} samples beside its target; mean absolute error {values['mae']:.4g}."
    pairs = np.stack([target[shown, 0], out[shown, 0]])
    if "horizon" in ds.options:
        figure: Figure = Curve(
            title="Forecast against target", alt=alt, x=np.arange(len(shown)), y=pairs, labels=("target", "output"),
            x_label="sample",
        )  # fmt: skip
    else:
        ends = np.repeat([target[:, 0].min(), target[:, 0].max()], 2).reshape(2, 2)
        figure = Scatter(
            title="Output against target",
            alt=alt,
            points=np.concatenate([pairs.T, ends]),
            groups=np.repeat([0, 1], [len(shown), 2]),
            labels=("sample", "as the target"),
            joined=np.array([len(shown), len(shown) + 1]),
            x_label="target",
            y_label="output",
        )
    return values, {"evaluation": figure}


def _reconstruction(net: nn.Module, ds: Dataset, at: Indices, batch: int, device: str) -> dict[str, float]:
    total, number = 0.0, 0
    for where, out in _outputs(net, ds, at, batch, device):
        sample = ds.batch(where)
        if out.shape != sample.x.shape:
            raise InputError(
                f"the network gives outputs of shape {out.shape[1:]} for samples of {tuple(sample.x.shape[1:])}; "
                "without labels it is measured by how it reconstructs samples"
            )
        seen = np.ones_like(out, dtype=bool)
        if sample.mask is not None:
            seen = np.broadcast_to(sample.mask[:, None].numpy(), out.shape)
        total += float(np.square(out - sample.x.numpy(), dtype=np.float64)[seen].sum())
        number += int(seen.sum())
    return {"mse": total / max(1, number)}


@torch.no_grad()
def _outputs(
    net: nn.Module, ds: Dataset, at: Indices, batch: int, device: str
) -> Iterator[tuple[Indices, NDArray[np.float32]]]:
    place = pick_device(device)
    net = copy.deepcopy(net).to(place).eval()
    for start in range(0, len(at), batch):
        where = at[start : start + batch]
        given = ds.batch(where).to(place)
        out = call(net, given).to(device="cpu", dtype=torch.float32).numpy()
        if out.ndim < 1 or len(out) != len(where):
            raise InputError(f"the network gives {tuple(out.shape)} for {len(where)} samples; give an output for each")
        if not np.isfinite(out.reshape(len(out), -1).max(axis=1)).all():  # minus infinity rules one of several out
            raise DivergedError(
                f"{ds.source}: what the network gives is no number: {first_broken(net, given)}; train it anew, with a "
                "lower lr, or with clip"
            )
        yield where, out
