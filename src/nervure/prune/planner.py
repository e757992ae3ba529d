"""plan: judge a network's units, and decide how many each layer keeps to reach a target."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.judge import Criterion, Layer, Probe, Ranking, settings_of
from nervure.nets.cost import count
from nervure.nets.digest import structure, weights_digest
from nervure.nets.shadow import place_of
from nervure.nets.structure.check import as_inputs
from nervure.nets.structure.groups import Group
from nervure.nets.structure.layers import examined, layers_in
from nervure.nets.structure.silence import default_example
from nervure.nets.structure.surgery import Graph
from nervure.nets.structure.twin import lighten
from nervure.objectives import Objective, objective_of
from nervure.observe.ready import refuse_compiled
from nervure.prune import budget, scores, trials
from nervure.prune.budget import Counts, Rounding
from nervure.prune.dead import dead_units
from nervure.prune.draft import Draft, staying
from nervure.prune.figures import criteria_figures, findings
from nervure.prune.plan import Input, Judging, Plan, Row, spread
from nervure.prune.probe import MaskProbe
from nervure.prune.recover import check
from nervure.prune.target import Target
from nervure.registry import nearest
from nervure.train.runtime import pick_device

__all__ = ["plan"]

log = logging.getLogger(__name__)
Recovery = trials.Recovery


def plan(
    net: nn.Module,
    ds: Dataset | None,
    criterion: str | Criterion | Sequence[str | Criterion] = "l1",
    target: Target | None = None,
    *,
    exclude: Sequence[str] = (),
    ranking: Ranking = "layer",
    shortcuts: bool = True,
    round_to: int | None = None,
    rounding: Rounding = "floor",
    combine: scores.Combine = "rank",
    samples: int | None = 1000,
    seed: int = 0,
    batch: int = 128,
    objective: Objective | None = None,
    probe: Probe | None = None,
    recover: Recovery | None = None,
    example: Tensor | Sequence[Tensor] | None = None,
    searched: Path | str | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Decide which units each layer keeps.

    Units are judged layer by layer in one pass over a sample of the training split, and chosen by group: units of
    layers whose outputs are added go together, and are scored by the mean of their layers' scores, each divided by
    its layer's mean magnitude. Every group that can be cut takes part; the network's outputs never do.

    Parameters
    ----------
    net : Module
        Any network; it is not changed.
    ds : Dataset or None
        Its training split is judged on, its validation split measures accuracy. None suits criteria of weights.
    criterion : str, Criterion, or sequence of these
        A name of :data:`nervure.prune.criteria.criteria`; several are combined within each group.
    target : Target
        How small the network should become.
    exclude : sequence of str
        Layers, or modules with all layers inside them, that stay whole.
    ranking : str
        ``"layer"``: the same share of every group. ``"global"``: units of all groups are ranked together by their
        scores over their group's mean magnitude.
    shortcuts : bool
        Whether residual streams, whose units several layers have in common, take part.
    round_to : int, optional
        Widths become multiples of it, where a layer is as wide; by default 8 when the target is latency, else 1.
    rounding : str
        ``"floor"`` or ``"round"`` to the nearest, for kept shares.
    combine : str
        How several criteria become one: ``"rank"`` or ``"vote"``.
    samples : int or None
        How many training samples are judged on, balanced over classes; None for all.
    seed, batch : int
        Of the sample and of criteria that draw; samples at a time.
    objective : callable, optional
        The loss for criteria that need gradients; by default the task's own.
    probe : Probe, optional
        For criteria that search; by default one on the same sample.
    recover : callable, optional
        ``recover(small, net, ds, kept)``, for ``accuracy_drop``: ``kept`` are the units that stay, by layer. By
        default what the target names.
    example : tensor or sequence of tensors, optional
        Samples (n, ...) to trace the network with; by default of ``ds``, or of the shape that it was built for.
    searched : path, optional
        A folder that keeps what criteria that search have found, so that planning again goes on from there.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``: where units are judged, and networks of a search for
        ``accuracy_drop`` repaired and measured. Latency is measured where the network lies.
    progress : callable, optional
        Told (done, all) samples of the pass.

    Returns
    -------
    Plan

    Examples
    --------
    >>> from nervure import nets
    >>> net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8, 6])
    >>> plan(net, None, "l1", Target(keep={"classifier.0": 3})).widths
    {'classifier.0': (8, 3), 'classifier.2': (6, 6), 'classifier.4': (2, 2)}
    """
    _checked(target, ranking, rounding, combine, exclude, samples, batch)
    refuse_compiled(net)
    assert target is not None
    if target.accuracy_drop is not None and recover is None:
        check(target.recover, **target.recover_options)  # type: ignore[arg-type]
    criteria = scores.named(criterion, seed)
    if searched is not None:
        criteria = {name: one.keeping(Path(searched) / name) for name, one in criteria.items()}
    inputs, shape = _example(net, ds, example)
    multiple = _multiple(round_to, target)
    graph, trial, twin = examined(net, inputs)
    graph = _restricted(graph, exclude, shortcuts, target)
    if not graph.free:
        why = next((f": {group.name!r}: {group.why}" for group in graph.groups), "")
        raise InputError(f"{type(net).__name__} has no layer whose units could be cut{why}")
    deployable = getattr(net, "deployable", None)  # what it leaves out is of training alone
    there = dict((net if deployable is None else deployable()).named_modules())
    if idle := [name for name in graph.idle if name in there]:
        log.warning(
            "%s: not called on the example, so kept as they are; where other samples lead through them, give an "
            "example= that does, or exclude what they read and what reads them",
            ", ".join(idle),
        )
    layers = layers_in(net, graph, graph.free)
    if probe is None and any(one.needs_probe for one in criteria.values()):
        probe = _probe(net, ds, graph, samples, seed, batch, objective, searched)
    batches = scores.sampled(
        ds, criteria, samples, seed, size=batch, example=trial, objective=objective, progress=progress
    )
    found = scores.verdicts(
        net, batches, criteria, layers, objective=objective, probe=probe, device=pick_device(device)
    )
    cost = count(lighten(twin), [one[:1] for one in inputs])
    draft = Draft(
        net, graph, scores.scored(graph.free, found, combine), cost, inputs, shape,
        ranking, rounding, multiple, *_own_ways(criteria, graph, layers, found, target),
    )  # fmt: skip
    outcome = _counts(draft, ds, target, recover, seed, device)
    judged = Judging(
        names=tuple(criteria),
        settings=tuple(settings_of(one) for one in criteria.values()),
        combine=combine,
        seed=seed,
        samples=len(batches.at) if batches.read or probe is not None else 0,
    )
    made = Plan(
        structure=structure(net), weights=weights_digest(net), input_shape=shape,
        rows=_rows(draft, outcome.counts, found), judging=judged, target=target, ranking=ranking, rounding=rounding,
        round_to=multiple, shortcuts=shortcuts, exclude=tuple(exclude), trials=outcome.trials, latency=outcome.latency,
        inputs=tuple(Input.of(one) for one in inputs), **draft.predicted(outcome.counts),
    )  # fmt: skip
    made._graph, made._trial = graph, trial
    made._figures = criteria_figures(found, layers, made.masks(), dead_units(net, graph, layers))
    made._judged = findings(found)
    return made


def _own_ways(
    criteria: Mapping[str, Criterion],
    graph: Graph,
    layers: Sequence[Layer],
    found: scores.Verdicts,
    target: Target,
) -> tuple[dict[str, Callable[[int], Tensor]], dict[str, int]]:
    """What a criterion decides better than by scores: which units to keep of a layer for a number, and how many.

    One that groups units keeps one of each cluster, which no order of units can say for every number; it may have
    ``choose(layer, judgement, keep)``, for a group of one plain layer. How many is ``natural_keep`` among its notes,
    or what its ``scenario(keep, judgements)`` says for all layers together.
    """
    if len(criteria) > 1:
        return {}, {}
    (name, criterion) = next(iter(criteria.items()))
    choose = getattr(criterion, "choose", None)
    by_name = {layer.name: layer for layer in layers}
    wishes = {
        layer: note for layer, one in found[name].items() if isinstance(note := one.notes.get("natural_keep"), int)
    }
    if isinstance(target.keep, str) and target.keep != "natural":
        scenario = getattr(criterion, "scenario", None)
        wishes = (
            {} if scenario is None else scenario(target.keep, {layer.name: found[name][layer.name] for layer in layers})
        )
    choosers: dict[str, Callable[[int], Tensor]] = {}
    natural: dict[str, int] = {}
    for group in graph.free:
        verdicts = [found[name][layer] for layer in group.layers]
        if all(layer in wishes for layer in group.layers):
            natural[group.name] = max(wishes[layer] for layer in group.layers)
        if choose is not None and len(group.layers) == 1 and group.step == 1 and group.side(group.layers[0]).plain:
            choosers[group.name] = functools.partial(choose, by_name[group.layers[0]], verdicts[0])
    return choosers, natural


def _counts(
    draft: Draft, ds: Dataset | None, target: Target, recover: Recovery | None, seed: int, device: str
) -> trials.Outcome:
    """How many units each group keeps under the target, and what was measured on the way."""
    name, value = target.goal
    if name == "keep":
        return trials.Outcome(_natural(draft, value) if isinstance(value, str) else _kept(draft, value))
    if name in ("macs", "params"):
        assert isinstance(value, int | float)
        return trials.Outcome(_within(draft, name, value))
    if name == "accuracy_drop":
        return trials.accuracy(draft, ds, target, recover, seed, device)
    return trials.latency(draft, target)


def _within(draft: Draft, name: str, value: float | int) -> Counts:
    """The largest network of at most so many multiply-adds or parameters."""
    which = ("params", "macs").index(name)
    before = (draft.cost.params, draft.cost.macs)[which]
    if isinstance(value, int) and value > before:
        raise InputError(f"target {name}={value:,}: the network has {before:,}; ask for less")
    limit = value if isinstance(value, int) else value * before
    ladder = draft.ladder()
    found = budget.search(ladder, lambda counts: draft.totals(counts)[which] <= limit, draft.free, draft.multiple)
    return budget.require(found, name, draft.totals(ladder[0])[which], value)


def _kept(draft: Draft, value: float | int | dict[str, float | int]) -> Counts:
    """Counts from a share, a number, or a mapping by layer."""
    if isinstance(value, float):
        return draft.at_share(value)
    whole = {group.name: group.units for group in draft.free}
    if isinstance(value, int):
        if draft.ranking == "global":
            return _total(draft, value)
        if value > max(whole.values()):
            raise InputError(f"target keep={value}: the widest layer that may be cut has {max(whole.values())} units")
        return {group.name: _at_most(group, value, draft.multiple) for group in draft.free}
    asked: dict[str, str] = {}
    for layer, amount in value.items():
        groups = [one for one in draft.graph.groups if layer in one.layers]
        for group, own in zip(groups, _parts(layer, groups, amount), strict=True):
            if group.why:
                raise InputError(f"layer {layer!r} cannot be cut: {group.why}")
            units = _amount(draft, layer, group, own)
            if group.name in asked and whole[group.name] != units:
                raise InputError(f"{layer!r} and {asked[group.name]!r} share their units; ask for the same of both")
            whole[group.name], asked[group.name] = units, layer
    return whole


def _natural(draft: Draft, wish: str) -> Counts:
    """As many units of each group as the criterion finds right, each alone or all together."""
    if missing := [group.name for group in draft.free if group.name not in draft.natural]:
        raise InputError(
            f"target keep={wish!r}: the criterion does not say how many units of {missing[0]!r} to keep; give a share"
        )
    return {group.name: _at_most(group, draft.natural[group.name], draft.multiple) for group in draft.free}


def _parts(layer: str, groups: Sequence[Group], amount: float | int) -> list[float | int]:
    """What to keep of each group of a layer: a share of each, of a number so many in proportion that it is met."""
    if isinstance(amount, float) or len(groups) == 1:
        return [amount] * len(groups)
    step = math.lcm(*(group.step for group in groups))
    sizes = [group.units // step for group in groups]
    if amount > step * sum(sizes):
        raise InputError(f"target keep of {layer!r} is {amount}; it has {sum(group.units for group in groups)} units")
    if amount % step:
        raise InputError(f"target keep of {layer!r} is {amount}; its units go {step} at a time")
    if amount < step * len(sizes):
        least = "one" if step == 1 else str(step)
        raise InputError(
            f"target keep of {layer!r} is {amount}; its units lie in {len(sizes)} parts, of which each keeps {least}"
        )
    return [step * part for part in budget.shared(amount // step, sizes)]


def _amount(draft: Draft, layer: str, group: Group, amount: float | int) -> int:
    if isinstance(amount, float):
        return budget.kept_count(group, amount, draft.multiple, draft.rounding)
    if amount > group.units:
        raise InputError(f"target keep of {layer!r} is {amount}; it has {group.units} units")
    if amount % group.step:
        raise InputError(f"target keep of {layer!r} is {amount}; its units go {group.step} at a time")
    return amount if draft.multiple == 1 else _at_most(group, amount, draft.multiple)


def _at_most(group: Group, wanted: int, multiple: int) -> int:
    fitting = [one for one in budget.levels(group, multiple) if one <= wanted]
    return fitting[-1] if fitting else budget.levels(group, multiple)[0]


def _total(draft: Draft, wanted: int) -> Counts:
    everything = sum(group.units for group in draft.free)
    if wanted > everything:
        raise InputError(f"target keep={wanted}: the layers that may be cut have {everything} units together")
    found = budget.search(draft.ladder(), lambda counts: sum(counts.values()) <= wanted, draft.free, draft.multiple)
    return budget.require(found, "keep", sum(draft.ladder()[0].values()), wanted)


def _restricted(graph: Graph, exclude: Sequence[str], shortcuts: bool, target: Target) -> Graph:
    """Groups that the caller wants whole; a name that is no layer is refused."""
    producers = tuple(dict.fromkeys(name for group in graph.groups for name in group.layers))
    named = list(target.keep) if isinstance(target.keep, dict) else []
    for name in named:
        if name not in producers:
            raise InputError(f"no layer {name!r} in this network; {nearest(name, producers)}")
    for name in exclude:
        if not any(one == name or one.startswith(f"{name}.") for one in producers):
            raise InputError(f"exclude: no layer {name!r} in this network; {nearest(name, producers)}")
    reasons = {}
    for group in graph.free:
        out = next((one for one in group.layers if any(one == e or one.startswith(f"{e}.") for e in exclude)), None)
        if out is not None:
            reasons[group.name] = f"{out!r} is excluded"
        elif group.shortcut and not shortcuts:
            reasons[group.name] = "it is a residual stream, and shortcuts stay whole"
    return graph.without(reasons)


def _checked(
    target: object, ranking: object, rounding: object, combine: object, exclude: object, samples: object, batch: object
) -> None:
    """Refuse arguments that cannot be meant, before anything is judged."""
    if not isinstance(target, Target):
        given = "" if target is None else f"; found {target!r}"
        raise InputError(
            f"say how small the network should become: target=Target(macs=0.5), or keep, params, ...{given}"
        )
    named = (("ranking", ranking, Ranking), ("rounding", rounding, Rounding), ("combine", combine, scores.Combine))
    for name, value, known in named:
        if value not in get_args(known):
            raise InputError(f"{name}={value!r}; take {' or '.join(map(repr, get_args(known)))}")
    if isinstance(exclude, str):
        raise InputError(f"exclude={exclude!r}; give a list of names, such as [{exclude!r}]")
    for name, value in (("samples", samples), ("batch", batch)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
        if not whole and not (name == "samples" and value is None):
            raise InputError(f"{name}={value!r}; give a whole number from 1")


def _example(
    net: nn.Module, ds: Dataset | None, example: Tensor | Sequence[Tensor] | None
) -> tuple[list[Tensor], tuple[int, ...]]:
    if example is not None:
        inputs = as_inputs(example)
    elif ds is not None:
        inputs = [ds.batch(ds.indices("train")[:3]).x.to(place_of(net)[1])]
    else:
        inputs = [default_example(net).to(place_of(net)[1])]
    return inputs, tuple(inputs[0].shape[1:])


def _multiple(round_to: int | None, target: Target) -> int:
    if round_to is None:
        return 8 if target.goal[0].startswith("latency") else 1
    if isinstance(round_to, bool) or not isinstance(round_to, int) or round_to < 1:
        raise InputError(f"round_to={round_to!r}; give a whole number from 1")
    return round_to


def _probe(
    net: nn.Module, ds: Dataset | None, graph: Graph, samples: int | None, seed: int, batch: int,
    objective: Objective | None, searched: Path | str | None,
) -> MaskProbe:  # fmt: skip
    if ds is None:
        raise InputError("a criterion that searches needs data to measure on")
    if ds.task == "classification" and ds.y is None:
        raise InputError("a criterion that searches needs labels, which the data has not")
    at = scores.labelled(ds, scores.sample(ds, samples, seed))
    batches = [ds.batch(at[start : start + batch]) for start in range(0, len(at), batch)]
    path = None
    if searched is not None:
        path = Path(searched) / "probe.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
    return MaskProbe(net, graph, batches, objective_of(ds.task, objective), path=path)


def _rows(draft: Draft, counts: Counts, found: scores.Verdicts) -> tuple[Row, ...]:
    """A row for each layer of each group, in the order of calls."""
    after = draft.forecast.macs(counts)
    before = {row.name: row.ops for row in draft.cost.rows}
    keep = draft.keep(counts)
    rows = []
    for group in draft.graph.groups:
        for layer in group.layers:
            side, kept = group.side(layer), staying(group, layer, keep)
            short = None
            if not group.why and group.name not in draft.choosers:
                raw = next(iter(found.values()))[layer].scores[torch.from_numpy(side.places)]
                own = raw if len(found) == 1 else draft.scores[group.name].scores[torch.from_numpy(side.units)]
                short = spread(own, torch.from_numpy(np.isin(side.places, kept)))
            rows.append(
                Row(
                    layer=layer, group=group.name, units=side.size, places=len(side.places), kept=tuple(kept),
                    macs_before=before.get(layer, 0), macs_after=after.get(layer, before.get(layer, 0)),
                    why=_why(group, counts.get(group.name, group.units), tuple(found)), scores=short,
                )
            )  # fmt: skip
    return tuple(sorted(rows, key=lambda row: draft.graph.order.get(row.layer, 0)))


def _why(group: Group, count: int, criteria: Sequence[str]) -> str:
    if group.why:
        return f"whole: {group.why}"
    by = " and ".join(criteria)
    if count == group.units:
        return "whole: the target is met without it"
    others = f", one choice for {len(group.layers)} layers" if len(group.layers) > 1 else ""
    steps = f", {group.step} at a time" if group.step > 1 else ""
    return f"{count / group.units:.0%} best by {by}{others}{steps}"
