"""Curves of a run's history: what belongs together is drawn together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nervure.evidence import Curve
from nervure.report.markup import Reals, compact

__all__ = ["History", "history_curves", "real_of"]

History = Sequence[Mapping[str, float | int | str | None]]

_SPLITS = ("train", "validation", "test")
_TOGETHER = {
    **dict.fromkeys(("acc", "nmi", "ari"), "Agreement with labels"),
    **dict.fromkeys(("clusters", "effective_clusters"), "Clusters in use"),
    "learning_rate": "Learning rate",
}
_NOT_CURVES = {"epoch", "seconds", "step", "steps", "time", "best", "samples", "rate"}
# Whoever notes these draws them, in a figure of its own.
_DRAWN = {"sparsity", "mask_change", "nominal"}


def history_curves(history: History) -> tuple[Curve, ...]:
    """Curves of all that a history has numbers for: losses together, accuracies together, the rest alone.

    ``history`` has a mapping an epoch; what is missing, None, NaN or a word leaves a gap.

    >>> [curve.title for curve in history_curves([{"epoch": 1, "train_loss": 2.0, "lr": 0.1, "seconds": 3}])]
    ['Loss', 'Learning rate']
    """
    keys = dict.fromkeys(key for row in history for key in row if key not in _NOT_CURVES | _DRAWN)
    columns = {key: np.array([real_of(row.get(key)) for row in history]) for key in keys}
    columns = {key: column for key, column in columns.items() if np.isfinite(column).any()}
    epochs = np.array([real_of(row.get("epoch")) for row in history])
    rising = bool((np.diff(epochs) > 0).all())  # not where several trainings follow one another, or one is missing
    x = epochs if rising and np.isfinite(epochs).all() else np.arange(1.0, len(history) + 1)
    groups: dict[str, list[str]] = {}
    for key in columns:
        groups.setdefault(_group(key), []).append(key)
    order = sorted(groups, key=lambda name: {"Loss": 0, "Accuracy": 1, "Learning rate": 9}.get(name, 5))
    return tuple(_curve(name, x, {key: columns[key] for key in groups[name]}) for name in order)


def _curve(title: str, x: Reals, columns: Mapping[str, Reals]) -> Curve:
    y = np.stack(list(columns.values()))
    labels = [_label(key) for key in columns] if len(columns) > 1 or title in ("Loss", "Accuracy") else []
    if len(set(labels)) < len(labels):
        labels = [key.replace("_", " ") for key in columns]
    there = y[np.isfinite(y)]
    log = title in ("Loss", "Learning rate") and bool((there > 0).all()) and there.max() / 100 > there.min()
    ends = ", ".join(
        f"{label or title} from {compact(known[0])} to {compact(known[-1])}"
        for label, known in zip([*labels, *[""] * len(y)], (line[np.isfinite(line)] for line in y), strict=False)
    )
    alt = f"{title} over {len(x)} epochs: {ends}."
    return Curve(title=title, alt=alt, x=x, y=y, labels=labels, x_label="epoch", log_y=log)


def _group(key: str) -> str:
    last = key.rsplit("_", 1)[-1]
    first, _, rest = key.partition("_")
    known = {"loss": "Loss", "accuracy": "Accuracy", "lr": "Learning rate"}
    if key in _TOGETHER:
        return _TOGETHER[key]
    return known.get(last, (rest if first in _SPLITS and rest else key).replace("_", " ").capitalize())


def _label(key: str) -> str:
    first = key.split("_")[0]
    return first if first in _SPLITS else key.replace("_", " ")


def real_of(value: object) -> float:
    """A number as it stands in a history, and NaN for what is none.

    >>> real_of(2), real_of("robust")
    (2.0, nan)
    """
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
