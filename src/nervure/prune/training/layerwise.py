"""Layer by layer: prune one layer, recover, retrain the whole network, go on with the next.

Source: spec ssim-kmeans-pruning, 2.8; spec majority-voting-pruning, 11 (Algorithm 4).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.judge import Criterion
from nervure.nets.digest import weights_digest
from nervure.nets.origin import Step, origin_of
from nervure.nets.resize import difference
from nervure.nets.shadow import place_of
from nervure.nets.steps import derive
from nervure.nets.structure.check import cut_as, small, three
from nervure.nets.structure.cut import Kept as Units
from nervure.nets.structure.groups import Group
from nervure.nets.structure.layers import examine
from nervure.nets.structure.silence import by_group
from nervure.nets.structure.surgery import Graph, trace
from nervure.prune import scores
from nervure.prune.identity import identity
from nervure.prune.plan import Plan
from nervure.prune.planner import Recovery, plan
from nervure.prune.recover import check
from nervure.prune.recover import recover as mend
from nervure.prune.target import Target
from nervure.prune.training.figures import layer_figures
from nervure.store import Action, Run
from nervure.store import folder as runs
from nervure.train.cycles import cycles
from nervure.train.evaluate import evaluate
from nervure.train.recipe import Recipe

__all__ = ["cut_layer", "layerwise"]

Keep = float | int | Mapping[str, float | int]
Judged = Literal["original", "current"]
Recover = str | Sequence[str] | Recovery


def layerwise(
    net: nn.Module | Run,
    ds: Dataset,
    recipe: Recipe | Callable[[int], Recipe] | None,
    keep: Keep,
    criterion: str | Criterion = "l1",
    *,
    judged: Judged = "original",
    recover: Recover | None = None,
    recover_options: Mapping[str, object] | None = None,
    final: Recipe | None = None,
    shortcuts: bool = False,
    samples: int | None = 1000,
    seed: int = 0,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    **options: Any,
) -> Run:
    """Prune a trained network one layer after the other, in the order in which it calls them.

    Parameters
    ----------
    net, ds : Module or Run, Dataset
        A trained network, not changed; what it is judged, retrained and measured on.
    recipe : Recipe, callable or None
        How the whole network is retrained after each layer, with a fresh optimizer; a callable is asked for the recipe
        of layer 0, 1, ...; None does not retrain between layers.
    keep : float, int or mapping of layer to these
        What stays of every layer that can be cut, or of those that are named: as in :class:`nervure.prune.Target`.
    criterion : str or Criterion
        Which units stay.
    judged : str
        ``"original"``: all layers on the network given, once; ``"current"``: each on the network as it has become.
    recover : str, sequence of str, or callable, optional
        Right after each cut: methods of :func:`nervure.prune.recover.recover`, which estimate only the layers that
        read the one just cut; or a function ``recover(small, net, ds, kept) -> module``; ``net`` is the network given,
        ``kept`` are the units that stay.
    recover_options : mapping, optional
        Settings of these methods, such as ``{"target": "current"}``: each layer is then fitted to what it gave just
        before this cut, in place of what it gave in the network given.
    final : Recipe, optional
        A last training of the whole network.
    shortcuts : bool
        Whether layers whose outputs are added take part.
    samples, seed : int
        Of judging, as in :func:`nervure.prune.plan`.
    out, resume, overwrite
        As in :func:`nervure.train.fit`; what came before the end is kept beside it, in ``<out>.cycles/``.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **options
        Further arguments of :func:`nervure.train.fit`.

    Returns
    -------
    Run
        The last network, with the lineage of all, and in its evidence accuracy per layer and widths.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=(32, 16))
    >>> run = layerwise(net, ds, nv.train.Recipe(epochs=1), keep=0.5, device="cpu")
    >>> run.evidence["widths"].after, [action.name for action in run.lineage]
    (array([16,  8]), ['prune', 'train', 'prune', 'train'])
    """
    if judged not in ("original", "current"):
        raise InputError(f"judged = {judged!r}; give 'original' or 'current'")
    target = None if out is None else runs.claim(out, resume=resume, overwrite=overwrite)
    given, lineage = (net.net, net.lineage) if isinstance(net, Run) else (net, ())
    side = None if target is None else target.with_name(f"{target.name}.cycles")
    mending = dict(recover_options or {})
    if recover is not None and not callable(recover):
        check(recover, **mending)  # type: ignore[arg-type]
    elif mending:
        raise InputError("recover_options are settings of methods that recover names; leave them out")
    march = _March(given, ds, keep, criterion, judged, recover, mending, shortcuts, samples, seed, device, side, resume)
    fitting = {"resume": resume, "overwrite": overwrite, "device": device, **options}
    if recipe is None:
        run = march.without_training(lineage, final, target, fitting)
    else:
        run = march.with_training(lineage, recipe, final, target, fitting)
    run.evidence = {**run.evidence, **layer_figures(march.stages, march.measure)}
    if target is not None:
        runs.write(target, run)
    return run


def cut_layer(net: nn.Module, keep: Units, example: Tensor) -> nn.Module:
    """A copy of ``net`` in which some layers keep only the units named, checked as every cut is.

    Parameters
    ----------
    net : Module
        Not changed.
    keep : mapping of layer name to units
        Positions, or a mask (units,).
    example : tensor
        Samples (n, ...) that it reads.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> cut_layer(net, {"0": [0, 2]}, torch.randn(3, 4))[2]
    Linear(in_features=2, out_features=2, bias=True)
    """
    inputs = small(net, three(example.to(place_of(net)[0])))
    graph = trace(net, inputs)
    thin, why = cut_as(net, graph, by_group(graph.groups, keep), inputs)
    if thin is None or why:
        name, reason = next(iter(why.items()))
        raise InputError(f"{name!r} cannot be cut: {reason}; leave it out of keep")
    return derive(net, thin, Step("resize", difference(net, thin))) if origin_of(net) is not None else thin


class _March:
    """The way through the layers: the plan of each, and what was measured at every stage."""

    def __init__(
        self, net: nn.Module, ds: Dataset, keep: Keep, criterion: str | Criterion, judged: Judged,
        recover: Recover | None, mending: Mapping[str, Any], shortcuts: bool, samples: int | None, seed: int,
        device: str, side: Path | None, resume: bool,
    ) -> None:  # fmt: skip
        self.net, self.ds, self.criterion, self.recover, self.device = net, ds, criterion, recover, device
        self.judging: dict[str, Any] = {"samples": samples, "seed": seed, "device": device}
        self.mending, self.side, self.resume = mending, side, resume
        self.example = ds.batch(ds.indices("train")[:3]).x
        graph = examine(net, self.example.to(place_of(net)[0]))
        self.amounts = _amounts(graph, keep, shortcuts)
        self.layers = tuple(self.amounts)
        self.readers = {layer: _readers(graph, layer) for layer in self.layers}
        self.stages: list[dict[str, str | int | float | None]] = []
        self.kept: dict[str, Sequence[int]] = {}
        self.measure = "accuracy" if ds.task == "classification" else "error"
        self.split = next(name for name in ("validation", "train") if len(ds.splits.get(name, ())))
        self.whole = self._plan(net, dict(self.amounts), "plan") if judged == "original" else None

    def prune(self, net: nn.Module, at: int) -> nn.Module:
        """Cut layer ``at`` of the way, recover, and note what that did."""
        layer = self.layers[at]
        made = self.whole or self._plan(net, {layer: self.amounts[layer]}, f"plan-{at}")
        before, _ = made.widths[layer]
        groups = {row.group for row in made.rows if row.layer == layer}
        kept = {name: units for name, units in made.kept.items() if name in _layers(made, groups)}
        thin = cut_layer(net, kept, self.example) if kept else net
        after = len(kept[layer]) if kept else before
        self.kept |= kept
        stage: dict[str, str | int | float | None] = {"layer": layer, "before": before, "after": after}
        stage["pruned"] = self._measured(thin)
        if self.recover is not None:
            thin = self._recovered(thin, net, self.recover, self.readers[layer])
        stage["recovered"] = None if self.recover is None else self._measured(thin)
        stage["retrained"] = None
        self.stages.append(stage)
        return thin

    def without_training(
        self, lineage: tuple[Action, ...], final: Recipe | None, out: Path | None, fitting: Mapping[str, Any]
    ) -> Run:
        """All layers one after the other, then the last training, if any."""
        thin = self.net
        for at in range(len(self.layers)):
            thin = self.prune(thin, at)
        run = Run.of(thin, self.ds, (*lineage, *(self._action(at) for at in range(len(self.layers)))))
        if final is not None:
            run = cycles(run, self.ds, final, lambda run, cycle: run.net, 1, out=out, **fitting)
            self.stages[-1]["retrained"] = self._measured(run.net)
            return run
        split = "test" if len(self.ds.splits.get("test", ())) else self.split
        found = evaluate(run, self.ds, split=split, device=self.device)
        run.metrics, run.evidence = dict(found.metrics), dict(found.evidence)
        return run

    def with_training(
        self, lineage: tuple[Action, ...], recipe: Recipe | Callable[[int], Recipe], final: Recipe | None,
        out: Path | None, fitting: Mapping[str, Any],
    ) -> Run:  # fmt: skip
        """Each layer's cut followed by a training of the whole network."""
        count = len(self.layers)

        def how(cycle: int) -> Recipe:
            if cycle == count and final is not None:
                return final
            return recipe(cycle) if callable(recipe) else recipe

        def change(run: Run, cycle: int) -> nn.Module:
            self.stages[cycle]["retrained"] = self._measured(run.net)
            return self.prune(run.net, cycle + 1) if cycle + 1 < count else run.net

        first = Run.of(self.prune(self.net, 0), self.ds, (*lineage, self._action(0)))
        run = cycles(first, self.ds, how, change, count + (final is not None), out=out, **fitting)
        self.stages[-1]["retrained"] = self._measured(run.net)
        named = (self._named(action) for action in run.lineage)
        run.lineage = tuple(action for action in named if action is not None)
        return run

    def _named(self, action: Action) -> Action | None:
        """A change of :func:`cycles` as the pruning that it was; None for the one before the last training."""
        if action.name != "change":
            return action
        at = int(action.settings["cycle"]) + 1  # type: ignore[call-overload]
        return self._action(at) if at < len(self.layers) else None

    def _action(self, at: int) -> Action:
        stage = self.stages[at]
        name = self.criterion if isinstance(self.criterion, str) else type(self.criterion).__name__
        settings = {"layer": self.layers[at], "criterion": name, "before": stage["before"], "after": stage["after"]}
        how = {"recovered": self.recover is not None, "recover_options": self.mending}
        return Action("prune", {**settings, **how}, self.judging["seed"])

    def _plan(self, net: nn.Module, amounts: dict[str, float | int], name: str) -> Plan:
        """The plan for some layers; kept beside the run, for a search may take long, and read where asked for again."""
        judges = scores.named(self.criterion, self.judging["seed"])
        asked = [identity(judges), self.ds.fingerprint, self.judging, amounts]
        key = hashlib.sha256(json.dumps([asked, weights_digest(net, None)]).encode()).hexdigest()[:8]
        file = None if self.side is None else self.side / f"{name}-{key}.json"
        if file is not None and self.resume and file.is_file():
            return Plan.load(file)
        graph = examine(net, self.example.to(place_of(net)[0]))
        apart = {group.name for group in graph.free if not any(layer in amounts for layer in group.layers)}
        exclude = tuple(layer for group in graph.free if group.name in apart for layer in group.layers)
        made = plan(net, self.ds, self.criterion, Target(keep=amounts), exclude=exclude, **self.judging)
        if file is not None:
            made.save(file)
        return made

    def _recovered(self, thin: nn.Module, before: nn.Module, how: Recover, readers: tuple[str, ...]) -> nn.Module:
        if callable(how):
            return how(thin, self.net, self.ds, self.kept)
        given = {"kept": self.kept, "current": before, "seed": self.judging["seed"], "layers": readers}
        return mend(thin, self.net, self.ds, method=how, device=self.device, **given, **self.mending)

    def _measured(self, net: nn.Module) -> float:
        found = evaluate(net, self.ds, split=self.split, device=self.device).metrics
        return found.get(self.measure, next(iter(found.values())))


def _amounts(graph: Graph, keep: Keep, shortcuts: bool) -> dict[str, float | int]:
    """What stays of each layer that takes part, in the order of calls; one name for a group of several layers."""
    free = [group for group in graph.free if shortcuts or not group.shortcut]
    if not isinstance(keep, Mapping):
        found = {group.layers[0]: keep for group in free}
    else:
        named = {layer: group for group in graph.groups for layer in group.layers}
        for layer in keep:
            if layer not in named:
                raise InputError(f"no layer {layer!r} whose units could be cut; there are: {', '.join(named)}")
            if named[layer].why:
                raise InputError(f"layer {layer!r} cannot be cut: {named[layer].why}")
        found = _once(named, dict(sorted(keep.items(), key=lambda pair: graph.order.get(pair[0], 0))))
    if not found:
        raise InputError("there is no layer to prune: none can be cut, or keep names none")
    return found


def _once(named: Mapping[str, Group], keep: dict[str, float | int]) -> dict[str, float | int]:
    """One layer of each group: layers that share their units are cut together, and only once."""
    first: dict[str, str] = {}
    for layer, amount in keep.items():
        other = first.setdefault(named[layer].name, layer)
        if keep[other] != amount:
            raise InputError(f"{layer!r} and {other!r} share their units; ask for the same of both")
    return {layer: keep[layer] for layer in first.values()}


def _readers(graph: Graph, layer: str) -> tuple[str, ...]:
    """The layers that read the units that go when ``layer`` is cut."""
    return tuple(dict.fromkeys(name for group in graph.groups if layer in group.layers for name in group.consumers))


def _layers(made: Plan, groups: set[str]) -> set[str]:
    return {row.layer for row in made.rows if row.group in groups}
