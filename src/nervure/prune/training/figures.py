"""Figures of training that prunes: cycles and events, widths, size against accuracy, degrees, layer-wise accuracy.

Source: spec majority-voting-pruning, 4 to 6 (figures); spec ssim-kmeans-pruning, 2.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nervure.evidence import Curve, Figure, Flow, Scatter, Table
from nervure.store.run import History

__all__ = ["cycle_figures", "degree_figures", "layer_figures"]


def cycle_figures(history: History, layers: Sequence[str], final: Sequence[int], folder: str = "") -> dict[str, Figure]:
    """What iterative pruning did, cycle by cycle, from the columns that it adds to the history.

    Parameters
    ----------
    history : list of mappings
        A row an epoch.
    layers : sequence of str
        The pruned layers.
    final : sequence of int
        Their widths at the end.
    folder : str
        Where the best network of each size lies within the run's folder, if they were kept.

    Examples
    --------
    >>> row = {"epoch": 1, "validation_accuracy": 0.5, "cycle": 1, "widths": "8", "n_weights": 80, "event": 1}
    >>> cycle_figures([row], ["fc"], [7])["pruning-best"].rows
    (('8', 80, 1, 0.5),)
    """
    rows = [row for row in history if row.get("cycle") is not None]
    if not rows:
        return {}
    measure = next((name for name in ("validation_accuracy", "validation_loss") if name in rows[0]), "validation_loss")
    table = _cycles(rows, measure)
    said = f"{sum(row[4] for row in table)} pruning events in {len(table)} cycles"
    return {
        "pruning-accuracy": _scores(table, measure, said),
        "pruning-weights": Curve(
            title="Weights per cycle",
            alt=f"{said}; weights from {int(table[0][3]):,} to {int(table[-1][3]):,}.",
            x=_column(table, 0),
            y=_column(table, 3)[None],
            labels=["weights without biases"],
            x_label="cycle",
            y_label="weights",
        ),
        "pruning-size": _sizes(table, measure, said),
        "pruning-widths": _widths(table, layers, final, said),
        "pruning-cycles": Table(
            title="Cycles",
            alt=f"{said}.",
            columns=("cycle", measure, "widths", "weights", "event after it"),
            rows=[(int(row[0]), row[1], row[2], int(row[3]), "pruned" if row[4] else "") for row in table],
        ),
        "pruning-best": _best_of_sizes(rows, measure, folder),
        "widths": Flow(
            title="Widths before and after training",
            alt=f"{said}; widths {table[0][2]} became {'-'.join(map(str, final))}.",
            steps=layers,
            before=np.asarray(_numbers(table[0][2])),
            after=np.asarray(final),
            y_label="units",
        ),
    }


Cycle = tuple[float, float, str, float, int]


def _cycles(rows: History, measure: str) -> list[Cycle]:
    """A row a cycle: number, best score, widths, weights, and whether an event ended it."""
    by: dict[int, list[Mapping[str, float | int | str | None]]] = {}
    for row in rows:
        by.setdefault(int(row["cycle"] or 0), []).append(row)
    best = min if measure.endswith("loss") else max
    return [
        (
            float(cycle),
            best(float(one.get(measure) or 0.0) for one in own),
            str(own[-1]["widths"]),
            float(own[-1]["n_weights"] or 0),
            int(own[-1]["event"] or 0),
        )
        for cycle, own in by.items()
    ]


def _best_of_sizes(rows: History, measure: str, folder: str) -> Table:
    """A row a size: the first epoch of its best score, and where that network is kept, if it is."""
    by: dict[str, list[Mapping[str, float | int | str | None]]] = {}
    for row in rows:
        by.setdefault(str(row["widths"]), []).append(row)
    best = min if measure.endswith("loss") else max
    table = []
    for widths, own in by.items():
        top = best(own, key=lambda row: float(row.get(measure) or 0.0))
        kept = (f"{folder}/{widths}",) if folder else ()
        table.append((widths, int(top["n_weights"] or 0), top["epoch"], top.get(measure), *kept))
    return Table(
        title="The best network of each size",
        alt=f"{len(table)} sizes, each by the epoch that was best on validation.",
        columns=("widths", "weights", "epoch", measure, *(("kept in",) if folder else ())),
        rows=table,
    )


def _column(table: Sequence[Cycle], at: int) -> NDArray[np.float64]:
    return np.array([float(row[at]) for row in table])


def _numbers(widths: str) -> list[int]:
    return [int(one) for one in widths.split("-")]


def _scores(table: Sequence[Cycle], measure: str, said: str) -> Curve:
    score, event = _column(table, 1), _column(table, 4)
    running = np.minimum if measure.endswith("loss") else np.maximum
    return Curve(
        title=f"{measure.replace('_', ' ')} per cycle",
        alt=f"{said}; from {score[0]:.4f} to {score[-1]:.4f}.",
        x=_column(table, 0),
        y=np.stack([score, running.accumulate(score), np.where(event > 0, score, np.nan)]),
        labels=["of the cycle", "best so far", "followed by an event"],
        x_label="cycle",
        y_label=measure.replace("_", " "),
    )


def _sizes(table: Sequence[Cycle], measure: str, said: str) -> Scatter:
    score, size, event = _column(table, 1), _column(table, 3), _column(table, 4)
    return Scatter(
        title=f"{measure.replace('_', ' ')} against weights",
        alt=f"{said}; {score[-1]:.4f} with {int(size[-1]):,} weights at the end.",
        points=np.stack([size, score], axis=1),
        groups=event.astype(np.int64),
        labels=["no event followed", "an event followed"],
        hover=[f"cycle {int(row[0])}: {row[2]}" for row in table],
        x_label="weights without biases",
        y_label=measure.replace("_", " "),
    )


def _widths(table: Sequence[Cycle], layers: Sequence[str], final: Sequence[int], said: str) -> Curve:
    steps = [_numbers(table[0][2])]
    for row in (*(_numbers(one[2]) for one in table), list(final)):
        if row != steps[-1]:
            steps.append(row)
    return Curve(
        title="Widths over pruning events",
        alt=f"{said}; {'-'.join(map(str, steps[0]))} became {'-'.join(map(str, steps[-1]))}.",
        x=np.arange(len(steps)),
        y=np.array(steps).T,
        labels=list(layers),
        x_label="event",
        y_label="units",
    )


def degree_figures(history: History, incoming: Mapping[str, Tensor], before: int, after: int) -> dict[str, Figure]:
    """Connections per epoch, and how many a unit has at the end.

    Parameters
    ----------
    history : list of mappings
        A row an epoch.
    incoming : mapping of layer name to tensor
        Connections into each unit, (units,).
    before, after : int
        Connections before and after the last removal.

    Examples
    --------
    >>> import torch
    >>> degree_figures([{"connections": 5}], {"fc": torch.tensor([2, 1, 2])}, 5, 4)["degrees"].y
    array([[0, 1, 2]])
    """
    most = max((int(one.max()) for one in incoming.values()), default=0)
    counts = [np.bincount(one.cpu().numpy(), minlength=most + 1) for one in incoming.values()]
    epochs = [float(row["connections"] or 0) for row in history if row.get("connections") is not None]
    return {
        "degrees": Curve(
            title="Connections into a unit",
            alt=f"After the last removal {after:,} of {before:,} connections are left.",
            x=np.arange(most + 1),
            y=np.stack(counts),
            labels=list(incoming),
            x_label="connections",
            y_label="units",
        ),
        "connections": Curve(
            title="Connections of the sparse layers",
            alt=f"{before:,} before the last removal, {after:,} after it.",
            x=np.arange(1, len(epochs) + 2),
            y=np.array([[*epochs, float(after)]]),
            labels=["after each epoch, and at the end"],
            x_label="epoch",
            y_label="connections",
        ),
    }


Stage = Mapping[str, str | int | float | None]


def layer_figures(stages: Sequence[Stage], measure: str) -> dict[str, Figure]:
    """Layer by layer: the measure after pruning, recovery and retraining, and widths.

    Parameters
    ----------
    stages : sequence of mappings
        A row a layer: ``layer``, ``before``, ``after``, ``pruned``, ``recovered``, ``retrained``; None where a stage
        was left out.
    measure : str
        What was measured.

    Examples
    --------
    >>> stage = {"layer": "conv1", "before": 8, "after": 4, "pruned": 0.7, "recovered": None, "retrained": 0.9}
    >>> layer_figures([stage], "accuracy")["layer-wise"].labels
    ('pruned', 'retrained')
    """
    kinds = [kind for kind in ("pruned", "recovered", "retrained") if any(one[kind] is not None for one in stages)]
    y = np.array([[np.nan if one[kind] is None else float(one[kind] or 0.0) for one in stages] for kind in kinds])
    names = [str(one["layer"]) for one in stages]
    widths = np.array([[int(one[side] or 0) for one in stages] for side in ("before", "after")])
    last = ", ".join(f"{kind} {value:.4f}" for kind, value in zip(kinds, y[:, -1], strict=True))
    return {
        "layer-wise": Curve(
            title=f"{measure} layer by layer",
            alt=f"After the last of {len(names)} layers: {last}.",
            x=np.arange(1, len(names) + 1),
            y=y,
            labels=kinds,
            x_label="layers pruned",
            y_label=measure,
        ),
        "widths": Flow(
            title="Units before and after",
            alt=f"{widths[1].sum():,} of {widths[0].sum():,} units stay in {len(names)} layers.",
            steps=names,
            before=widths[0],
            after=widths[1],
            y_label="units",
        ),
        "layer-wise-table": Table(
            title="Layer by layer",
            alt=f"{measure} after each stage of {len(names)} layers.",
            columns=("layer", "units before", "units after", *(f"{measure} {kind}" for kind in kinds)),
            rows=[(str(one["layer"]), one["before"], one["after"], *(one[kind] for kind in kinds)) for one in stages],
        ),
    }
