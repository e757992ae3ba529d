"""The page of one run, drawn from its evidence alone: data, training, verdicts, cost, and how it was made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from nervure.evidence import Figure, Matrix, Table
from nervure.report.history import History, history_curves, real_of
from nervure.report.lineage import command, flat, passages
from nervure.report.markup import compact, number
from nervure.report.page import Section, Tile, page

__all__ = ["RunLike", "key_figures", "run_page", "title_of"]


class RunLike(Protocol):
    """What a page needs of a run."""

    @property
    def path(self) -> Path | None: ...  # noqa: D102
    @property
    def net(self) -> object: ...  # noqa: D102
    @property
    def history(self) -> History: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def evidence(self) -> Mapping[str, Figure]: ...  # noqa: D102
    @property
    def lineage(self) -> Sequence[object]: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def versions(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def preprocessing(self) -> object: ...  # noqa: D102


_PLACES = {
    "data": ("data", "samples", "sample", "classes", "pictures"),
    "clusters": (
        "clusters",
        "latents",
        "snapshot",
        "series",
        "matched",
        "sizes",
        "silhouette",
        "count",
        "counts",
        "seeds",
        "centres",
        "members",
        "reconstructions",
        "neurons",
        "filters",
        "points",
        "contours",
        "densities",
        "invariance",
    ),
    "training": ("training", "history", "curve", "curves", "schedule", "sparse"),
    "evaluation": (
        "confusion",
        "calibration",
        "recall",
        "errors",
        "mistakes",
        "predictions",
        "evaluation",
        "accuracy",
    ),
    "decisions": (
        "plan",
        "pruned",
        "pruning",
        "layer",
        "degrees",
        "connections",
        "widths",
        "recovery",
        "sparsified",
        "sparsity",
        "edges",
        "units",
        "weights",
        "agreement",
        "masks",
        "initial",
    ),
    "cost": ("cost", "costs", "latency", "layers", "memory", "times"),
}
_KEYS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("test_accuracy", "accuracy", "validation_accuracy"), "Accuracy", "share"),
    (("macro_f1", "f1"), "Macro F1", "share"),
    (("rmse", "test_rmse"), "RMSE", "plain"),
    (("mae", "test_mae"), "MAE", "plain"),
    (("acc",), "Accuracy, matched", "share"),
    (("agreement",), "Agreement, uncut", "share"),
    (("nmi",), "NMI", "share"),
    (("effective_clusters",), "Clusters in effect", "plain"),
    (("silhouette",), "Silhouette", "plain"),
    (("sparsity",), "Sparsity", "share"),
    (("parameters", "params"), "Parameters", "plain"),
    (("macs",), "MACs", "plain"),
    (("bytes", "size_bytes", "size"), "Size", "bytes"),
    (("latency_ms", "latency"), "Latency", "ms"),
    (("ece", "calibration_error"), "Calibration error", "share"),
)


def run_page(run: RunLike) -> str:
    """The page of a run as one string of HTML.

    Evidence is placed by the first word of its name: ``samples``, ``confusion``, ``calibration``, ``cost``,
    ``latency`` and their kin have a section; every other figure stands under "More evidence".
    """
    placed = _placed(run.evidence)
    made = command(run)
    sections = [
        Section("The data", _data_words(run), _data_figures(run, placed["data"])),
        Section(
            "Training",
            _training_words(run.history, _recipe(run.lineage), run.metrics.get("sparsity")),
            [*history_curves(run.history), *placed["training"]],
        ),
        Section("The clusters", _cluster_words(run), placed["clusters"]),
        Section("What it gets right and wrong", _verdict_words(run), placed["evaluation"]),
        Section("What was cut, and why", "", placed["decisions"]),
        Section(
            "Cost",
            "What one sample costs to compute, and how long that takes where it was measured.",
            placed["cost"],
        ),
        Section("More evidence", "", placed["other"]),
        Section("Lineage", "Every step from the first network to this one, in order.", (), passages(run.lineage)),
        Section(
            "Make it again",
            "The seed and these settings give the same network on the same machine.",
            (),
            (),
            made,
        ),
    ]
    # A section that has nothing to show would only announce an absence; the data always has its facts.
    shown = [one for one in sections if one.figures or one.passages or one.code]
    return page(
        title_of(run),
        shown,
        summary=_summary(run),
        eyebrow="run",
        tiles=key_figures(run.metrics),
        versions=run.versions,
    )


def key_figures(metrics: Mapping[str, float]) -> tuple[Tile, ...]:
    """The tiles of a run: what is known by name first, in the order in which people ask, six at most.

    >>> key_figures({"accuracy": 0.9731, "parameters": 431080})
    (Tile(label='Accuracy', value='97.3 %', note=''), Tile(label='Parameters', value='431k', note='431 080'))
    """
    tiles = []
    for keys, label, kind in _KEYS:
        key = next((key for key in keys if key in metrics and math.isfinite(real_of(metrics[key]))), None)
        if key is not None:
            tiles.append(_tile(label, float(metrics[key]), kind, key))
    return tuple(tiles[:6])


def _tile(label: str, value: float, kind: str, key: str) -> Tile:
    if kind == "share":
        return Tile(label, f"{100 * value:.1f} %", key.split("_")[0] if "_accuracy" in key else "")
    if kind == "bytes":
        return Tile(label, f"{value / 1e6:.2f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB")
    if kind == "ms":
        return Tile(label, f"{value:.3g} ms")
    exact = number(int(value)) if value.is_integer() and value >= 1e4 else ""
    return Tile(label, compact(value), exact)


def title_of(run: RunLike) -> str:
    """What a page calls a run: its folder's name, or its data's.

    >>> from types import SimpleNamespace
    >>> title_of(SimpleNamespace(path=Path("runs/base"), source="digits"))
    'base'
    """
    return run.path.name if run.path is not None and run.path.name else Path(run.source).stem or "A network"


def _placed(evidence: Mapping[str, Figure]) -> dict[str, list[Figure]]:
    placed: dict[str, list[Figure]] = {place: [] for place in (*_PLACES, "other")}
    ranks: dict[int, int] = {}
    for name, figure in evidence.items():
        first = re.split(r"[^a-z0-9]+", name.lower())[0]
        place = next((place for place, words in _PLACES.items() if first in words), "other")
        placed[place].append(figure)
        ranks[id(figure)] = _PLACES["clusters"].index(first) if place == "clusters" else 0
    placed["clusters"].sort(key=lambda figure: ranks[id(figure)])
    return placed


def _data_figures(run: RunLike, described: list[Figure]) -> list[Figure]:
    """What the run kept of its data, and where it kept no table of it, what it knows itself."""
    return described if any(isinstance(one, Table) for one in described) else [*described, _facts(run)]


def _facts(run: RunLike) -> Table:
    rows: list[tuple[str, str]] = [("source", run.source or "unknown"), ("task", run.task)]
    shape = getattr(run, "in_shape", None)
    if shape:
        rows.append(("one sample", " × ".join(map(str, shape))))
    if run.names:
        names = ", ".join(run.names[:12]) + (" …" if len(run.names) > 12 else "")
        rows.append((f"{len(run.names)} classes", names))
    to_json = getattr(run.preprocessing, "to_json", None)
    if to_json is not None:
        rows.extend((f"preprocessing, {key}", value) for key, value in flat(to_json()))
    if run.fingerprint:
        rows.append(("fingerprint", run.fingerprint[:16]))
    alt = "; ".join(f"{key}: {value}" for key, value in rows)
    return Table(title="What is known of it", alt=alt, columns=["", ""], rows=rows)


def _summary(run: RunLike) -> str:
    net = type(run.net).__name__
    base = getattr(getattr(run, "origin", None), "base", None)
    spec = base.spec if base is not None and isinstance(base.spec, str) else net
    steps = len(run.lineage)
    told = f", {steps} steps from its first weights" if steps > 1 else ""
    return f"{spec} on {run.source or 'data of its own'}{told}."


def _cluster_words(run: RunLike) -> str:
    """How many clusters are in use, how sure their members are, and what labels say of them."""
    metrics = run.metrics
    if "effective_clusters" not in metrics:
        return ""
    words = f"{number(float(metrics['clusters']))} of {len(run.names)} clusters have members; by their sizes they "
    words += f"count as {metrics['effective_clusters']:.1f} equal ones."
    if "confidence" in metrics:
        words += f" A sample's cluster has a probability of {metrics['confidence']:.2f} in the mean."
    if "acc" in metrics:
        words += f" Matched to labels, {100 * metrics['acc']:.1f} % of the samples agree."
    return words


def _data_words(run: RunLike) -> str:
    if run.task == "classification":
        return f"{run.source}, in {len(run.names)} classes."
    if run.task == "clustering":
        return f"{run.source}, grouped into {len(run.names)} clusters."
    return f"{run.source}, for {run.task}." if run.task != "none" else f"{run.source}, without labels."


def _recipe(lineage: Sequence[object]) -> Mapping[str, object]:
    """The settings of the last training."""
    found: list[Mapping[str, object]] = [getattr(one, "settings", {}) for one in lineage]
    return next((one for one in reversed(found) if "monitor" in one), {})


def _training_words(history: History, recipe: Mapping[str, object], sparsity: float | None = None) -> str:
    """How long training took, and its best epoch, of those with the network's own sparsity where epochs have one.

    The best is the one that is kept, by the measure that the recipe says; where the last is kept, that of the highest
    accuracy.
    """
    if not history:
        return ""
    seconds = sum(real_of(row.get("seconds")) for row in history if math.isfinite(real_of(row.get("seconds"))))
    took = f" in {seconds / 60:.1f} minutes" if seconds >= 90 else f" in {seconds:.0f} seconds" if seconds >= 2 else ""
    words = f"{len(history)} epoch{'s' if len(history) > 1 else ''}{took}."
    monitor = str(recipe.get("monitor")) if recipe.get("keep") == "best" else "accuracy"
    sign = -1 if monitor == "loss" else 1
    best = [(sign * real_of(row.get(f"validation_{monitor}")), at) for at, row in enumerate(history)]
    shares = [real_of(row.get("sparsity")) for row in history]
    best = [
        one for one in best if math.isfinite(one[0]) and (sparsity is None or not abs(shares[one[1]] - sparsity) > 1e-9)
    ]
    if best:
        score, at = max(best, key=lambda one: (one[0], -one[1]))
        epoch = history[at].get("epoch", at + 1)
        value = f"{100 * score:.1f} %" if monitor == "accuracy" else number(sign * score)
        words += f" Validation {monitor.replace('_', ' ')} was best after epoch {epoch}: {value}."
        words += " Its network is kept." if recipe.get("keep") == "best" else ""
    return words


def _verdict_words(run: RunLike) -> str:
    known = {label: (key, kind) for keys, label, kind in _KEYS[:5] for key in keys[::-1] if key in run.metrics}
    tiles = [_tile(label, float(run.metrics[key]), kind, key) for label, (key, kind) in known.items()]
    words = [f"{one.label} {one.value}." for one in tiles]
    confusion = run.evidence.get("confusion")
    if isinstance(confusion, Matrix):
        words.append(f"Measured on {number(int(np.nansum(confusion.values)))} samples.")
    return " ".join(words)
