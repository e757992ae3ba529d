"""Runs side by side: what each scores and costs, its difference to the first, curves overlaid, and latent spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nervure.errors import InputError
from nervure.evidence import Bars, Curve, Figure, Table
from nervure.report.history import history_curves
from nervure.report.lineage import passages
from nervure.report.markup import compact, number
from nervure.report.page import Section, Tile, page
from nervure.report.run_page import RunLike, key_figures, title_of

__all__ = ["compare_page", "compare_table", "labels_of"]

_COSTS = ("parameters", "params", "macs", "bytes", "size_bytes", "size", "memory", "latency_ms", "latency")
_BESIDE = ("cost", "latency", "confusion", "calibration", "latents-by-", "latents-untrained-")


def compare_page(runs: Sequence[RunLike]) -> str:
    """The page that compares runs with the first of them.

    The same evidence of every run stands side by side; of curves, lines of the same name share one drawing.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run given to compare; give two or more")
    labels = labels_of(runs)
    sections = [
        Section(
            "Side by side",
            f"Differences are against {labels[0]}.",
            [compare_table(runs), *_cost_bars(runs, labels)],
        ),
        Section("Training", "One drawing a quantity, one line a run.", _overlaid(runs, labels)),
        *(Section(heading, "", figures) for heading, figures in _evidence(runs, labels)),
        *(
            Section(f"Lineage of {label}", "", (), passages(run.lineage))
            for label, run in zip(labels, runs, strict=True)
        ),
    ]
    shown = [one for one in sections if one.figures or one.passages]
    different = len({run.fingerprint for run in runs}) > 1
    summary = f"{len(runs)} runs on {runs[0].source}."
    if different:
        summary = f"{len(runs)} runs on different data: their scores cannot be held against each other."
    return page(
        " and ".join(labels) if len(labels) <= 3 else f"{len(labels)} runs",
        shown, summary=summary, eyebrow="comparison", tiles=_tiles(runs, labels), versions=runs[0].versions,
    )  # fmt: skip


def compare_table(runs: Sequence[RunLike]) -> Table:
    """Every metric of any run, a row each: the values, and each further run's difference to the first.

    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> sizes = {"base": {"macs": 400.0}, "small": {"macs": 100.0}}
    >>> compare_table([SimpleNamespace(path=Path(name), metrics=one) for name, one in sizes.items()]).rows
    (('macs', 400, 100, '−75.0 %'),)
    """
    labels = labels_of(runs)
    keys = dict.fromkeys(key for run in runs for key in run.metrics)
    rows: list[list[str | int | float | None]] = []
    for key in keys:
        values = [_whole(run.metrics.get(key)) for run in runs]
        row: list[str | int | float | None] = [key, *values]
        for value in values[1:]:
            row.append(_difference(values[0], value, key))
        rows.append(row)
    columns = ["metric", *labels, *(f"{label}, difference" for label in labels[1:])]
    alt = f"{len(rows)} metrics of {', '.join(labels)}, with differences to {labels[0]}."
    return Table(title="Metrics", alt=alt, columns=columns, rows=rows)


def labels_of(runs: Sequence[RunLike]) -> tuple[str, ...]:
    """A name for each run, no two alike.

    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> labels_of([SimpleNamespace(path=Path(name), source="") for name in ("a/run", "b/run", "c/other")])
    ('a/run', 'b/run', 'other')
    """
    names = [title_of(run) for run in runs]
    longer = [
        str(run.path) if run.path is not None and names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    ]
    return tuple(f"{name} ({at + 1})" if longer.count(name) > 1 else name for at, name in enumerate(longer))


def _whole(value: float | None) -> int | float | None:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) >= 100 else value


def _difference(first: int | float | None, other: int | float | None, key: str) -> str | None:
    if first is None or other is None or not (math.isfinite(first) and math.isfinite(other)):
        return None
    change = other - first
    sign = "+" if change > 0 else "−" if change < 0 else "±"
    if key in _COSTS and first:
        return f"{sign}{abs(change) / abs(first) * 100:.1f} %"
    if "accuracy" in key:
        return f"{sign}{abs(change) * 100:.2f} points"
    return f"{sign}{number(abs(change))}"


def _tiles(runs: Sequence[RunLike], labels: Sequence[str]) -> tuple[Tile, ...]:
    """Key figures of the last run, each with the first one's beside it; both runs are named."""
    first = {tile.label: tile.value for tile in key_figures(runs[0].metrics)}
    return tuple(
        Tile(f"{tile.label}, {labels[-1]}", tile.value, f"{labels[0]}: {first[tile.label]}")
        for tile in key_figures(runs[-1].metrics)
        if tile.label in first
    )


def _cost_bars(runs: Sequence[RunLike], labels: Sequence[str]) -> list[Figure]:
    """Costs as shares of the first run's."""
    keys = [
        key for key in _COSTS
        if all(math.isfinite(run.metrics.get(key, math.nan)) for run in runs) and runs[0].metrics[key] > 0
    ]  # fmt: skip
    if not keys:
        return []
    shares = [[100 * run.metrics[key] / runs[0].metrics[key] for key in keys] for run in runs]
    said = "; ".join(
        f"{label}: " + ", ".join(f"{key} {compact(value)} %" for key, value in zip(keys, row, strict=True))
        for label, row in zip(labels[1:], shares[1:], strict=True)
    )
    return [
        Bars(
            title=f"Cost as a share of {labels[0]}",
            alt=said,
            values=np.asarray(shares),
            bars=keys,
            series=labels,
            y_label="percent",
        )
    ]


def _overlaid(runs: Sequence[RunLike], labels: Sequence[str]) -> list[Figure]:
    lines: dict[tuple[str, str], list[tuple[str, Curve, int]]] = {}
    for place, (run, label) in enumerate(zip(runs, labels, strict=True)):
        if any(run.history == other.history for other in runs[:place]):
            continue  # cut from that one, and not trained since
        for curve in history_curves(run.history):
            for at in range(len(curve.y)):
                name = curve.labels[at] if curve.labels else ""
                lines.setdefault((curve.title, name), []).append((label, curve, at))
    return [_overlay(title, name, found) for (title, name), found in lines.items()]


def _overlay(title: str, name: str, found: Sequence[tuple[str, Curve, int]]) -> Curve:
    x = np.unique(np.concatenate([curve.x for _, curve, _ in found]).astype(np.float64))
    y = np.full((len(found), len(x)), np.nan)
    for row, (_, curve, at) in enumerate(found):
        y[row, np.searchsorted(x, curve.x.astype(np.float64))] = curve.y[at]
    heading = f"{title}, {name}" if name else title
    labels = [label for label, _, _ in found]
    log = all(curve.log_y for _, curve, _ in found)
    alt = f"{heading} over epochs, of {', '.join(labels)}."
    return Curve(title=heading, alt=alt, x=x, y=y, labels=labels, x_label="epoch", log_y=log)


def _evidence(runs: Sequence[RunLike], labels: Sequence[str]) -> list[tuple[str, list[Figure]]]:
    import dataclasses

    names = dict.fromkeys(name for run in runs for name in run.evidence)
    wanted = [name for name in names if name.lower().startswith(_BESIDE)]
    return [
        (
            name.replace("-", " ").replace("_", " ").capitalize(),
            [
                dataclasses.replace(run.evidence[name], title=f"{label}: {run.evidence[name].title}")
                for label, run in zip(labels, runs, strict=True)
                if name in run.evidence
            ],
        )
        for name in wanted
    ]
