"""What comparisons on one's own network share: the run that trials start from, a study of them, curves and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from nervure import store
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.evidence import Curve
from nervure.nets.digest import weights_digest
from nervure.store import Run
from nervure.study.statistics import summary
from nervure.study.table import Data, Profile, Study

__all__ = ["asked", "base_settings", "curve", "front", "placed", "study_of"]


def asked(criteria: Sequence[str], shares: Sequence[float], what: str, ds: Dataset) -> None:
    """Refuse a comparison of nothing, of a criterion twice, or on data without samples to test on.

    >>> asked(["l1", "l1"], [0.5], "kept share", None)
    Traceback (most recent call last):
    nervure.errors.InputError: name each criterion once, and give at least one of them and one kept share
    """
    if len(set(criteria)) != len(criteria) or not criteria or not shares:
        raise InputError(f"name each criterion once, and give at least one of them and one {what}")
    if not len(ds.splits.get("test", ())):
        raise InputError(
            f"{ds.source}: no test split to compare on; train a network that leaves one out, or give other data"
        )


def front(cost: Sequence[float], quality: Sequence[float]) -> list[int]:
    """The places that no other beats, being cheaper or as cheap, and better or as good: the Pareto front, by cost.

    >>> front([0.3, 0.3, 0.5, 0.6], [80.0, 75.0, 82.0, 81.0])
    [0, 2]
    """
    found: list[int] = []
    for at in sorted(range(len(cost)), key=lambda at: (cost[at], -quality[at])):
        if not found or quality[at] > quality[found[-1]]:
            found.append(at)
    return found


def placed(net: Run | nn.Module | str | Path, ds: Dataset, out: Path) -> Path:
    """The folder of the run that trials start from; a module is saved beside their results, in place of an earlier one.

    >>> from nervure import data
    >>> placed("runs/base", data.load("digits"), Path("out"))
    PosixPath('runs/base')
    """
    if ds.source == "arrays":
        raise InputError("trials load their data themselves: save the arrays as .npz, and load that by name")
    if isinstance(net, str | Path):
        return Path(net)
    held = replace(net) if isinstance(net, Run) else Run.of(net, ds)
    return held.path or store.save(out / "base", held, overwrite=True)


def base_settings(
    net: Run | nn.Module | str | Path, ds: Dataset, out: Path, build: str | None = None
) -> dict[str, object]:
    """What trials are told of the run that they start from: its folder, and digests of its weights and of the data.

    Parameters
    ----------
    net : Run, module of ours, or a run's folder
    ds : Dataset
        What it is compared on.
    out : path
        The folder of the comparison.
    build : str, optional
        The ``package.module:function`` that made the run's network, if it was the user's own.

    Examples
    --------
    >>> import tempfile, nervure as nv
    >>> ds = nv.data.load("digits")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = base_settings(nv.nets.build("mlp", ds), ds, Path(folder))
    >>> list(found), found["fingerprint"] == ds.fingerprint
    (['run', 'weights', 'fingerprint'], True)
    """
    held = store.load(net, build=build) if isinstance(net, str | Path) else net
    weights = weights_digest(held.net if isinstance(held, Run) else held, None)
    return {
        "run": str(placed(net, ds, out)),
        "weights": weights,
        "fingerprint": ds.fingerprint,
        **({"build": build} if build else {}),
    }


def study_of(
    name: str,
    ds: Dataset,
    settings: Mapping[str, object],
    arms: Mapping[str, Mapping[str, object]],
    seeds: int,
    *,
    measures: Mapping[str, str],
    trial: str,
) -> Study:
    """A study of one run's network: nothing was published of it.

    >>> from nervure import data
    >>> ds = data.load("digits")
    >>> study_of("mine", ds, {"run": "runs/base"}, {"l1": {}}, 2, measures={"accuracy": "%"}, trial="prune").what
    'mine of runs/base'
    """
    return Study.model_validate(
        {
            "name": name,
            "what": f"{name} of {settings['run']}",
            "data": Data(source=ds.source, options=dict(ds.options)),
            "trial": trial,
            "settings": dict(settings),
            "arms": {arm: dict(one) for arm, one in arms.items()},
            "profiles": {"cpu": Profile(what="as asked", seeds=seeds)},
            "measures": dict(measures),
            "unpublished": "a comparison on one's own network",
        }
    )


def curve(
    values: Mapping[str, Sequence[Sequence[float] | np.ndarray]],
    x: Sequence[float],
    title: str,
    *,
    x_label: str,
    y_label: str = "accuracy, %",
    what: str = "Test accuracy",
) -> Curve:
    """Lines through the means over seeds, with their standard deviation; gaps where nothing is known.

    ``values`` has for each line a sequence of values over seeds for each ``x``.

    >>> curve({"l1": [[1.0, 3.0], []]}, [0.3, 0.5], "Accuracy", x_label="share").y.tolist()
    [[2.0, nan]]
    """
    spans = [[summary(list(one)) for one in row] for row in values.values()]
    return Curve(
        title=title,
        alt=f"{what} of {len(values)} lines, {x_label} {min(x)} to {max(x)}.",
        x=np.array(x),
        y=np.array([[np.nan if one.mean is None else one.mean for one in row] for row in spans]),
        spread=np.array([[0.0 if one.sd is None else one.sd for one in row] for row in spans]),
        labels=tuple(values),
        x_label=x_label,
        y_label=y_label,
    )
