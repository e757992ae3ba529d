"""The page of one run, drawn from its evidence alone: data, training, verdicts, cost, and how it was made."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from nervure.evidence import Curve, Figure, Table
from nervure.report.markup import Reals, compact, number
from nervure.report.page import Passage, Section, Tile, page

__all__ = [
    "History",
    "RunLike",
    "command",
    "history_curves",
    "key_figures",
    "passages",
    "run_page",
    "title_of",
]

History = Sequence[Mapping[str, float | int | str | None]]


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
        "centres",
        "members",
        "reconstructions",
        "neurons",
        "filters",
        "points",
        "contours",
        "densities",
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
_TOGETHER = {
    **dict.fromkeys(("acc", "nmi", "ari"), "Agreement with labels"),
    **dict.fromkeys(("clusters", "effective_clusters"), "Clusters in use"),
}
_NOT_CURVES = {"epoch", "seconds", "step", "steps", "time", "best", "samples", "rate"}


def run_page(run: RunLike) -> str:
    """The page of a run as one string of HTML.

    Evidence is placed by the first word of its name: ``samples``, ``confusion``, ``calibration``, ``cost``,
    ``latency`` and their kin have a section; every other figure stands under "More evidence".
    """
    placed = _placed(run.evidence)
    made = command(run)
    sections = [
        Section("The data", _data_words(run), _data_figures(run, placed["data"])),
        Section("Training", _training_words(run.history), [*history_curves(run.history), *placed["training"]]),
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


def history_curves(history: History) -> tuple[Curve, ...]:
    """Curves of all that a history has numbers for: losses together, accuracies together, the rest alone.

    ``history`` has a mapping an epoch; what is missing, None, NaN or a word leaves a gap.

    >>> [curve.title for curve in history_curves([{"epoch": 1, "train_loss": 2.0, "lr": 0.1, "seconds": 3}])]
    ['Loss', 'Learning rate']
    """
    keys = dict.fromkeys(key for row in history for key in row if key not in _NOT_CURVES)
    columns = {key: np.array([_float(row.get(key)) for row in history]) for key in keys}
    columns = {key: column for key, column in columns.items() if np.isfinite(column).any()}
    epochs = np.array([_float(row.get("epoch")) for row in history])
    x = epochs if np.isfinite(epochs).all() else np.arange(1.0, len(history) + 1)
    groups: dict[str, list[str]] = {}
    for key in columns:
        groups.setdefault(_group(key), []).append(key)
    order = sorted(groups, key=lambda name: {"Loss": 0, "Accuracy": 1, "Learning rate": 9}.get(name, 5))
    return tuple(_curve(name, x, {key: columns[key] for key in groups[name]}) for name in order)


def _curve(title: str, x: Reals, columns: Mapping[str, Reals]) -> Curve:
    y = np.stack(list(columns.values()))
    labels = [_label(key) for key in columns] if len(columns) > 1 or title in ("Loss", "Accuracy") else []
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
    known = {"loss": "Loss", "accuracy": "Accuracy", "lr": "Learning rate", "rate": "Learning rate"}
    if key in _TOGETHER:
        return _TOGETHER[key]
    return known.get(
        last,
        (last if key.split("_")[0] in ("train", "validation", "test") else key).replace("_", " ").capitalize(),
    )


def _label(key: str) -> str:
    first = key.split("_")[0]
    return first if first in ("train", "validation", "test") else key.replace("_", " ")


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def key_figures(metrics: Mapping[str, float]) -> tuple[Tile, ...]:
    """The tiles of a run: what is known by name first, in the order in which people ask, six at most.

    >>> key_figures({"accuracy": 0.9731, "parameters": 431080})
    (Tile(label='Accuracy', value='97.3 %', note=''), Tile(label='Parameters', value='431k', note='431 080'))
    """
    tiles = []
    for keys, label, kind in _KEYS:
        key = next((key for key in keys if key in metrics and math.isfinite(_float(metrics[key]))), None)
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


def passages(lineage: Iterable[object]) -> tuple[Passage, ...]:
    """The steps of a lineage; each is a mapping, or has the attributes ``name``, ``settings`` and ``seed``.

    >>> passages([{"action": "train", "settings": {"epochs": 3}, "seed": 0}])
    (Passage(name='train', settings=(('epochs', '3'), ('seed', '0')), note=''),)
    """
    return tuple(_passage(_entry(one)) for one in lineage)


def _entry(one: object) -> dict[str, object]:
    if isinstance(one, Mapping):
        return dict(one)
    return {
        key: getattr(one, key) for key in ("name", "action", "settings", "seed", "time", "command") if hasattr(one, key)
    }


def _passage(entry: Mapping[str, object]) -> Passage:
    settings = entry.get("settings")
    flat = _flat(settings) if isinstance(settings, Mapping) else []
    if entry.get("seed") is not None and "seed" not in dict(flat):
        flat.append(("seed", str(entry["seed"])))
    name = entry.get("action") or entry.get("name") or "step"
    return Passage(str(name), tuple(flat), str(entry.get("time") or ""))


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.extend(_flat(value, f"{name}."))
        elif isinstance(value, list | tuple):
            shown = ", ".join(str(item) for item in value[:8]) + (" …" if len(value) > 8 else "")
            found.append((name, shown or "none"))
        elif value is not None:
            found.append((name, number(value) if isinstance(value, float) else str(value)))
    return found


def command(run: RunLike) -> str:
    """What to type to make the run again: what its lineage recorded, or else the training it tells of.

    >>> from types import SimpleNamespace
    >>> trained = {"action": "train", "seed": 0, "settings": {"epochs": 3, "seed": 0}}
    >>> command(SimpleNamespace(lineage=[trained], source="digits", path=Path("runs/base")))
    'nervure train digits --set epochs=3 --seed 0 -o runs/base'
    """
    entries = [_entry(one) for one in run.lineage]
    typed = [str(entry["command"]) for entry in entries if entry.get("command")]
    if typed:
        return "\n".join(typed)
    train = next((entry for entry in entries if (entry.get("action") or entry.get("name")) == "train"), None)
    if train is None or not run.source:
        return ""
    words = ["nervure", "train", run.source, *_assigned("--data-option", getattr(run, "options", {}))]
    base = getattr(getattr(run, "origin", None), "base", None)
    if base is not None and isinstance(base.spec, str):
        words += ["--net", base.spec, *_assigned("--net-option", base.settings)]
    settings = train.get("settings")
    words += _assigned("--set", _unusual(settings) if isinstance(settings, Mapping) else {})
    words += ["--seed", str(train["seed"])] if train.get("seed") is not None else []
    return shlex.join([*words, "-o", str(run.path or "runs/again")])


def _assigned(option: str, values: Mapping[str, object]) -> list[str]:
    """``--option key=value`` for each value, as JSON where it is no text."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return [word for key, text in texts.items() for word in (option, f"{key}={text}")]


def _unusual(settings: Mapping[str, object]) -> dict[str, object]:
    """The fields of a recipe that are not as they are by default, without the seed."""
    from nervure.train.recipe import Recipe

    usual = Recipe().to_json()
    return {key: value for key, value in settings.items() if key != "seed" and value != usual.get(key)}


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
        rows.extend((f"preprocessing, {key}", value) for key, value in _flat(to_json()))
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


def _training_words(history: History) -> str:
    if not history:
        return ""
    seconds = sum(_float(row.get("seconds")) for row in history if math.isfinite(_float(row.get("seconds"))))
    took = f" in {seconds / 60:.1f} minutes" if seconds >= 90 else f" in {seconds:.0f} seconds" if seconds >= 1 else ""
    words = f"{len(history)} epochs{took}."
    best = [(_float(row.get("validation_accuracy")), at) for at, row in enumerate(history)]
    best = [one for one in best if math.isfinite(one[0])]
    if best:
        score, at = max(best, key=lambda one: (one[0], -one[1]))
        epoch = history[at].get("epoch", at + 1)
        words += f" Validation accuracy was best after epoch {epoch}: {100 * score:.1f} %."
    return words


def _verdict_words(run: RunLike) -> str:
    known = {label: key for keys, label, _ in _KEYS[:5] for key in keys[::-1] if key in run.metrics}
    return " ".join(f"{label} {number(float(run.metrics[key]))}." for label, key in known.items())
