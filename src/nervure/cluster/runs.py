"""A clusterer as a run: what its lineage keeps, loading it again, fitting it by several processes, and cutting it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from nervure import store
from nervure.cluster import clusterers
from nervure.cluster.audition import first_seed
from nervure.cluster.check import check_links
from nervure.cluster.method import Method, begin
from nervure.cluster.parameters import parameters
from nervure.cluster.samples import known_labels
from nervure.data.dataset import Dataset
from nervure.data.links import Given
from nervure.data.splits import make_splits
from nervure.errors import InputError, RunError
from nervure.store import Action, Run
from nervure.train.evaluate import predict
from nervure.train.loop import Progress

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = [
    "action_of",
    "begun",
    "by_its_clusters",
    "fit_together",
    "load",
    "method_of",
    "own_function",
    "save",
    "work",
]

_ACTION = "cluster"


def method_of(estimator: DeepClusterer) -> str:
    """The name of an estimator's class in the table of clusterers; ``package.module:Class`` for one without."""
    kind = type(estimator)
    target = f"{kind.__module__}:{kind.__qualname__}"
    for name in clusterers.names():
        if clusterers.row(name).target == target:
            return name
    return target


def begun(estimator: DeepClusterer, method: Method, ds: Dataset) -> Run:
    """The untrained clusterer as a run, whose lineage says which estimator it belongs to.

    >>> import numpy as np
    >>> from nervure.cluster import clusterers
    >>> from nervure.data import from_arrays
    >>> model = clusterers.get("dcae-kmeans")(2, latent=3)
    >>> ds, method = model.prepared(from_arrays(np.random.default_rng(0).normal(size=(20, 4))))
    >>> action = begun(model, method, ds).lineage[0]
    >>> action.name, action.settings["method"], action.settings["parameters"]["latent"]
    ('cluster', 'dcae-kmeans', 3)
    """
    seed = method.recipe.seed
    held = parameters(estimator)
    if held["random_state"] is None:  # what was drawn for it
        held["random_state"] = seed
    settings: dict[str, object] = {"method": method_of(estimator), "parameters": held}
    if hasattr(estimator, "feature_names_in_"):
        settings["feature_names"] = [str(name) for name in estimator.feature_names_in_]
    action = Action(_ACTION, settings, seed)
    net = begin(method, int(estimator.n_clusters), ds)
    if net.decoder is None and method.recipe.objective_options.get("reconstruction") != 0:
        raise InputError(
            f"{method_of(estimator)} reconstructs samples, and this network has no decoder; give one with an "
            "encoder and a decoder, or take neural-mixture, iic or deep-cluster"
        )
    return Run.of(net, ds, (action,))


def action_of(run: Run) -> Action | None:
    """The step of a run's lineage that says which estimator it belongs to; None if it holds no clusterer."""
    return next((one for one in reversed(run.lineage) if one.name == _ACTION), None)


def load(what: Run | Path | str, *, build: str | Callable[..., nn.Module] | None = None) -> DeepClusterer:
    """The fitted estimator of a run, or of a run's folder; nothing that the folder names is executed.

    A run keeps no samples, and so no ``labels_``: ``predict`` gives them again.

    Parameters
    ----------
    what : Run or path
        As :meth:`nervure.cluster.estimator.DeepClusterer.fit_run`, ``nervure cluster`` or ``nervure prune`` made it.
    build : str or callable, optional
        The function that makes the network, if it was the caller's own.

    Examples
    --------
    >>> import nervure as nv, numpy as np, tempfile
    >>> x = np.random.default_rng(0).normal(size=(40, 4))
    >>> model = nv.cluster.DCAEKMeans(2, epochs=1, network_options={"widths": [8]}, random_state=0).fit(x)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load(save(f"{folder}/groups", model))
    >>> type(again).__name__, (again.predict(x) == model.labels_).all()
    ('DCAEKMeans', np.True_)
    """
    run = what if isinstance(what, Run) else store.load(what, build=build)
    where = run.path or "this run"
    action = action_of(run)
    if action is None:
        raise InputError(f"{where}: holds no clusterer but a network of task {run.task}; see: nervure cluster --help")
    method, held = str(action.settings.get("method")), action.settings.get("parameters")
    if method not in clusterers.names():
        raise InputError(
            f"{where}: its clusterer {method!r} is in no table here; add it in the group nervure.clusterers"
        )
    kind = clusterers.get(method)
    known = {one.name for one in dataclasses.fields(kind) if one.init}
    if not isinstance(held, Mapping) or (strange := sorted(set(held) - known)):
        raise RunError(f"{where}: {method!r} has no parameter {strange[0] if isinstance(held, Mapping) else held!r}")
    return kind(**held).adopt(run)


def save(path: Path | str, estimator: DeepClusterer, *, overwrite: bool = False) -> Path:
    """Write a fitted estimator as a run; :func:`load` gives it again."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator, "run_")
    return store.save(path, estimator.run_, overwrite=overwrite)


def by_its_clusters(run: Run, ds: Dataset, *, seed: int = 0, device: str = "auto") -> Dataset:
    """The data labelled by a clusterer's own clusters, so that agreement with it can be measured and kept.

    Splits that the data lacks are cut from its training samples, since no label was learnt from: a tenth as
    validation, a fifth as test.

    Parameters
    ----------
    run : Run
        Of a clusterer.
    ds : Dataset
        As its network reads it.

    Examples
    --------
    >>> import nervure as nv, numpy as np
    >>> ds = nv.data.from_arrays(np.random.default_rng(0).normal(size=(40, 4)), validation=0, test=0)
    >>> model = nv.cluster.DCAEKMeans(2, epochs=1, network_options={"widths": [8]}, random_state=0).fit(ds)
    >>> found = by_its_clusters(model.run_, ds)
    >>> found.names, {name: len(at) for name, at in found.splits.items()}
    (('cluster 0', 'cluster 1'), {'train': 28, 'validation': 4, 'test': 8})
    """
    clusters = predict(run.net, ds, device=device).argmax(axis=1).astype(np.int64)
    given = {name: at for name, at in ds.splits.items() if len(at)}
    splits = make_splits(
        len(ds), clusters, given, validation=0.1, test=0.2, seed=seed, gap=None, where=ds.source
    )  # fmt: skip
    return dataclasses.replace(ds, y=clusters, task="classification", names=run.names, splits=splits)


def fit_together(
    estimator: DeepClusterer,
    ds: Dataset,
    *,
    labels: ArrayLike | None = None,
    links: Given | None = None,
    out: Path | str,
    devices: int,
    nodes: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Fit by several processes, as ``estimator.fit_run`` does by one: to the same clusters.

    The exception is :class:`nervure.cluster.VaDE`: each process draws noise of its own for its samples, so that other
    numbers of processes are other draws, as other seeds are.

    Each process loads the data from its source. The other arguments are those of :func:`nervure.train.launch.train`.
    """
    from nervure.train import launch

    # refused here, not by a process
    known_labels(labels, len(ds), getattr(estimator, "parents", ()), train=ds.indices("train"))
    if isinstance(estimator.network, nn.Module):
        raise InputError("a network given as a module cannot be handed to other processes; name it")
    pairs = None if links is None else check_links(links, ds, estimator.n_clusters)
    own = isinstance(estimator.random_state, int | np.integer)
    begun_with = first_seed(out, int(estimator._given("n_init") or 1)) if resume and not own else None
    arguments: dict[str, object] = {
        "method": method_of(estimator),
        "parameters": {
            **parameters(estimator),
            "random_state": estimator._seed() if begun_with is None else begun_with,  # the same for all
        },
        "source": ds.source,
        "options": dict(ds.options),
        "fingerprint": ds.fingerprint,
        "labels": None if labels is None else np.asarray(labels).tolist(),
        "links": None if pairs is None else {"must": pairs.must.tolist(), "cannot": pairs.cannot.tolist()},
        "out": str(out),
        "resume": resume,
        "overwrite": overwrite,
        "command": command,
    }

    def tell(event: Mapping[str, object]) -> None:
        if progress is not None and isinstance(where := event.get("progress"), dict):
            progress(Progress(**where))

    launch.start(
        "nervure.cluster.runs:work", arguments, processes=devices, nodes=nodes, threads=threads, tell=tell
    )  # fmt: skip
    run = store.load(out, build=own_function(estimator))
    estimator.adopt(run)
    estimator.labels_ = estimator.predict(ds)
    return run


def work(arguments: Mapping[str, Any]) -> dict[str, object]:
    """Fit as one process of a group; the arguments are those that :func:`fit_together` wrote."""
    from nervure import data
    from nervure.train import worker
    from nervure.train.interrupt import stopping

    ds = data.load(str(arguments["source"]), **arguments["options"])
    if ds.fingerprint != arguments["fingerprint"]:
        raise InputError(
            f"{ds.source}: other processes load other data from it than was given (a part of it, or a file that has "
            "changed); save what was given as .npz, and load that"
        )
    estimator = clusterers.get(str(arguments["method"]))(**arguments["parameters"])
    with stopping() as stop:
        run = estimator.fit_run(
            ds,
            labels=arguments["labels"],
            links=_pairs(arguments["links"]),
            out=str(arguments["out"]),
            resume=bool(arguments["resume"]),
            overwrite=bool(arguments["overwrite"]),
            command=str(arguments["command"]),
            progress=lambda where: worker.say({"progress": vars(where)}),
            stop=stop,
        )
    return {"metrics": run.metrics}


def _pairs(given: Mapping[str, Sequence[Sequence[int]]] | None) -> Given | None:
    if given is None:
        return None
    return {name: np.asarray(pairs, dtype=np.int64).reshape(-1, 2) for name, pairs in given.items()}


def own_function(estimator: DeepClusterer) -> str | None:
    """The caller's own function that makes the network, if that is what it was named by."""
    name = estimator.network
    return name if isinstance(name, str) and ":" in name and not name.endswith(".json") else None
