"""fit: a network, data and a recipe in; a run out."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nervure.data import Dataset, describe
from nervure.errors import DivergedError, InputError, InterruptedWork
from nervure.nets.origin import origin_of
from nervure.objectives import BY_TASK, Objective
from nervure.objectives import make as make_objective
from nervure.objectives.call import call
from nervure.store import Action, Run, load
from nervure.store import folder as runs
from nervure.store.atomic import alone, clear_errors
from nervure.store.packed import check_weights
from nervure.store.run import own_task
from nervure.train import callbacks as callback_table
from nervure.train import checkpoint
from nervure.train.callbacks import Callback
from nervure.train.evaluate import costs, evaluate
from nervure.train.loop import Loop, Progress
from nervure.train.place import Place
from nervure.train.random import forked
from nervure.train.recipe import Recipe
from nervure.train.runtime import group_size, open_fabric
from nervure.train.standing import standing
from nervure.train.synchronise import desynchronise

__all__ = ["fit"]

log = logging.getLogger(__name__)


def fit(
    net: nn.Module | Run,
    ds: Dataset,
    recipe: Recipe | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    objective: Objective | None = None,
    callbacks: Sequence[Callback] = (),
    build: str | Callable[..., nn.Module] | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Train a copy of a network; the one given is never changed.

    Parameters
    ----------
    net : Module or Run
        What to train; a run also hands on its lineage. A clusterer is not trained on classes of the data, but on what
        :func:`nervure.cluster.runs.by_its_clusters` gives, or by an objective for clusters.
    ds : Dataset
        Its ``train`` split is learnt from, ``validation`` selects, ``test`` is measured once at the end.
    recipe : Recipe, optional
        How to train; the defaults of :class:`Recipe` otherwise.
    out : path, optional
        A folder for the run, the same for all processes of a group. While training it holds a checkpoint, kept each
        epoch.
    resume, overwrite : bool
        Go on with unfinished training in ``out`` (of a finished run: do nothing), or replace what is there.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    objective : callable, optional
        ``(net, batch) -> loss, logs``, in place of the one that the recipe names.
    callbacks : sequence of Callback
        Further callbacks, after those that the recipe names.
    build : str or callable, optional
        The function that makes the network, when resuming needs it and it is the caller's own.
    command : str
        What was typed to call this, for the run's lineage.
    progress, stop : callable, optional
        Told where training stands; asked after each step, and each batch of validation, whether to stop (a checkpoint
        is kept).

    Returns
    -------
    Run
        ``run.net`` in evaluation mode, ``run.history``, ``run.metrics`` of the test split.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("lenet-300-100", ds)
    >>> run = fit(net, ds, Recipe(epochs=2, seed=0), device="cpu")
    >>> len(run.history), run.metrics["accuracy"] > 0.7
    (2, True)
    """
    recipe = recipe or Recipe()
    given, lineage = (net.net, net.lineage) if isinstance(net, Run) else (net, ())
    # processes of a group must meet before they can agree; one alone opens Fabric, which takes long, when it will train
    fabric = open_fabric(device, recipe.precision) if group_size() > 1 else None
    out = None if out is None else Path(out)
    found = "nothing" if out is None else standing(out, resume=resume, overwrite=overwrite)
    if out is not None and found == "run":
        return _finished(out, recipe, ds, given, build)
    goal, ds = _prepare(given, ds, recipe, objective)
    state = None
    if out is not None and found == "checkpoint":
        state = checkpoint.read(out, recipe, ds)
    with forked():
        start = copy.deepcopy(given if state is None else checkpoint.network_of(state, given, out, build))  # type: ignore[arg-type]
        lone = _lone_sample(start, ds, recipe)
        made = [*(callback_table.make(spec) for spec in recipe.callbacks), *callbacks]
        lineage = (*lineage, Action("train", recipe.to_json(), recipe.seed, command))
        if out is not None:
            check_weights(start.state_dict())
        place = None if out is None else Place(out, lineage, fresh=state is None)
        fabric = fabric or open_fabric(device, recipe.precision)
        loop = Loop(start.train(), ds, recipe, goal, made, fabric, drop_last=lone, place=place)
        with contextlib.nullcontext() if out is None or loop.rank else alone(out):
            if out is not None and loop.rank == 0:  # what another process may have written meanwhile
                runs.claim(out, resume=resume, overwrite=overwrite)
            for callback in made:
                callback.start(loop)
            if state is not None:
                loop.load_state(state)
            _go(loop, progress, stop)
            return _finish(loop, out, lineage)


def _prepare(
    net: nn.Module, ds: Dataset, recipe: Recipe, objective: Objective | None
) -> tuple[Objective, Dataset]:  # fmt: skip
    """The objective, and the data that it can learn from: samples without a label are left out if it needs one."""
    if "train" not in ds.splits or not len(ds.splits["train"]):
        raise InputError(f"{ds.source}: there is no training split; load it with splits, or give all as 'train'")
    if objective is not None:
        _check_used(recipe, "one's own")
        return objective, ds
    usual = recipe.objective in ("auto", "cross-entropy")
    if usual and own_task(net) == "clustering" and getattr(net, "names", ()) != ds.names:
        raise InputError(
            f"{ds.source}: the network gives clusters, which are no classes of the data; train it on what "
            "nervure.cluster.runs.by_its_clusters(run, ds) gives, or give an objective for clusters"
        )
    name = BY_TASK[ds.task] if recipe.objective == "auto" else recipe.objective
    options = dict(recipe.objective_options)
    if name == "reconstruction" and own_task(net) is None:
        ds = dataclasses.replace(ds, y=None, task="none", names=())  # what it learns has nothing to do with labels
    if name != "cross-entropy":
        _check_used(recipe, repr(name))
        return make_objective(name, options), ds
    if ds.task != "classification" or ds.y is None:
        raise InputError(f"{ds.source}: objective 'cross-entropy' needs class labels; the task is {ds.task!r}")
    labels = ds.y.astype(np.int64)
    known = {name: at[labels[at] >= 0] for name, at in ds.splits.items()}
    if not len(known["train"]):
        raise InputError(f"{ds.source}: every label of the training split is unknown")
    ds = dataclasses.replace(ds, splits=known)
    if recipe.label_smoothing:
        options.setdefault("label_smoothing", recipe.label_smoothing)
    if recipe.class_weights is not None:
        options.setdefault("class_weights", _class_weights(ds, recipe))
    return make_objective(name, options), ds


def _check_used(recipe: Recipe, objective: str) -> None:
    """Refuse what was set for cross-entropy and would do nothing for another objective."""
    for name in ("class_weights", "label_smoothing"):
        if getattr(recipe, name):
            raise InputError(f"recipe: {name} is for objective 'cross-entropy', not {objective}; leave it out")


def _lone_sample(net: nn.Module, ds: Dataset, recipe: Recipe) -> bool:
    """Whether an epoch's last batch is left with one sample, which batch norm cannot learn from, so that it is dropped.

    Samples come in another order each epoch, so that each of them is learnt from all the same.
    """
    count = len(ds.splits["train"])
    every = min(count, recipe.batch) == 1
    if not (every or count % recipe.batch == 1) or not _lone_values(net, ds):
        return False
    if every:
        raise InputError(
            f"a batch of {recipe.batch} of {count} samples is one sample, which batch norm cannot learn from; give more"
        )
    return True


@torch.no_grad()
def _lone_values(net: nn.Module, ds: Dataset) -> bool:
    """Whether a batch norm sees one value a channel of each sample, or is not seen in the forward pass at all."""
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return False
    values: dict[nn.Module, int] = {}

    def look(norm: nn.Module, args: object, out: Tensor) -> None:
        values[norm] = out.numel() // out.shape[1]

    hooks = [norm.register_forward_hook(look) for norm in norms]
    pair = ds.batch(ds.splits["train"][[0, 0]])  # some networks take no batch of one sample
    call(net.eval(), pair.to(next(net.parameters()).device))
    for hook in hooks:
        hook.remove()
    return any(values.get(norm, 0) <= len(pair.x) for norm in norms)


def _class_weights(ds: Dataset, recipe: Recipe) -> tuple[float, ...]:
    """One factor a class, with a mean of one over the training samples when balanced."""
    if recipe.class_weights != "balanced":
        weights = recipe.class_weights or ()
        if len(weights) != ds.classes:
            raise InputError(f"recipe: class_weights has {len(weights)} factors for {ds.classes} classes")
        return weights
    assert ds.y is not None
    counts = np.bincount(ds.y[ds.splits["train"]].astype(np.int64), minlength=ds.classes)
    return tuple(float(counts.sum() / (ds.classes * count)) if count else 0.0 for count in counts)


def _go(loop: Loop, progress: Callable[[Progress], None] | None, stop: Callable[[], bool] | None) -> None:
    place = loop.place

    def keep() -> None:
        if place is not None and loop.rank == 0:
            place.checkpoint(loop)

    try:
        loop.run(keep, progress or (lambda where: None), stop or (lambda: False))
    except (DivergedError, InterruptedWork) as error:
        # of several processes the first one writes; it is the one that knows whether what lies there is its own
        if place is None or not (place.kept if loop.rank == 0 else checkpoint.file_of(place.out).is_file()):
            raise
        hint = "go on with --resume" if isinstance(error, InterruptedWork) else "the last good checkpoint is kept"
        raise type(error)(f"{error}; {place.out}: {hint}") from error


def _finish(loop: Loop, out: Path | None, lineage: tuple[Action, ...]) -> Run:
    net = desynchronise(loop.net)
    if loop.best is not None and loop.recipe.keep == "best":
        net.load_state_dict(loop.best.state)
    net = net.to("cpu").eval()
    run = Run.of(net, loop.ds, lineage)
    run.history, run.evidence = loop.history, dict(loop.evidence)
    if loop.rank == 0:
        _measure(run, loop.ds, str(loop.fabric.device))
        if out is not None:
            with clear_errors(out):
                runs.write(out, run)
                checkpoint.clear(out)
    loop.fabric.barrier()
    return run


def _measure(run: Run, ds: Dataset, device: str) -> None:
    split = next((name for name in ("test", "validation") if _measurable(run.net, ds, name)), "train")
    try:
        found = evaluate(run, ds, split=split, device=device)
    except InputError as error:  # of an objective of one's own, say: what was learnt is kept all the same
        log.warning("only costs are measured: %s", error)
        found = costs(run.net, ds)
    run.metrics.update(found.metrics)
    samples = {f"data-{figure.name}": figure for figure in describe(ds)}
    run.evidence = {**samples, **found.evidence, **run.evidence}


def _measurable(net: nn.Module, ds: Dataset, split: str) -> bool:
    """Whether a split has a sample, with a known label where labels are what a network is measured by."""
    if split not in ds.splits:
        return False
    at = ds.splits[split]
    if (own_task(net) or ds.task) != "classification" or ds.y is None:
        return len(at) > 0
    return bool((ds.y[at].astype(np.int64) >= 0).any())


def _finished(
    out: Path, recipe: Recipe, ds: Dataset, given: nn.Module, build: str | Callable[..., nn.Module] | None
) -> Run:
    run = load(out, build=build)
    checkpoint.check_network(run.origin, origin_of(given), out)
    trained = [action for action in run.lineage if action.name == "train"]
    if not trained:
        raise InputError(f"{out} holds a run that was not trained; give --overwrite to replace it")
    if differences := Recipe.of(trained[-1].settings).difference(recipe):
        raise InputError(f"{out} was trained with another recipe: {'; '.join(differences)}")
    checkpoint.check_data(checkpoint.about(run), ds, out)
    return run
