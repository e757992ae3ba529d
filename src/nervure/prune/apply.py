"""apply: a plan becomes a smaller network, which is checked before anyone gets it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.cost import count
from nervure.nets.origin import Step, origin_of
from nervure.nets.resize import difference
from nervure.nets.shadow import place_of
from nervure.nets.steps import derive
from nervure.nets.structure.check import cut_as, small, three
from nervure.nets.structure.silence import attach, by_group
from nervure.nets.structure.surgery import Graph, trace

if TYPE_CHECKING:
    from nervure.prune.plan import Plan

__all__ = ["apply", "masked"]

log = logging.getLogger(__name__)


def apply(plan: Plan, net: nn.Module, example: Tensor | Sequence[Tensor] | None = None) -> nn.Module:
    """Cut ``net`` as ``plan`` says.

    The cut network runs beside the masked one on three samples, and must give the same to 1e-5. A group that
    spoils this stays whole: a warning names it, and ``plan.applied`` is the plan that was kept to.

    Parameters
    ----------
    plan : Plan
        Made for a network of the same structure.
    net : Module
        Not changed.
    example : tensor or sequence of tensors, optional
        Samples (n, ...) for the check; by default random ones of the shape that the plan names.

    Returns
    -------
    Module
        The smaller network, one step ``resize`` further from its origin.

    Examples
    --------
    >>> from nervure import nets, prune
    >>> net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8])
    >>> prune.plan(net, None, "l1", prune.Target(keep=0.5)).apply(net).classifier[2]
    Linear(in_features=4, out_features=2, bias=True)
    """
    plan.check(net)
    inputs, graph = _prepared(plan, net, example)
    kept = by_group(graph.groups, plan.kept)
    kept = {name: units for name, units in kept.items() if len(units) < graph.group(name).units}
    usable = {group.name for group in graph.free}
    reasons = {name: graph.group(name).why for name in kept if name not in usable}
    thin, spoiled = cut_as(net, graph, {name: units for name, units in kept.items() if name in usable}, inputs)
    reasons |= spoiled
    plan._applied = _corrected(plan, graph, reasons, thin, inputs) if reasons else None
    for name, reason in reasons.items():
        log.warning("%s stays whole: %s", name, reason)
    if thin is None:
        raise InputError(f"nothing can be cut as planned: {next(iter(reasons.values()))}")
    if not reasons and (found := sum(one.numel() for one in thin.parameters())) != plan.params_after:
        raise InputError(f"the cut network has {found:,} parameters, planned were {plan.params_after:,}; plan anew")
    return derive(net, thin, Step("resize", difference(net, thin))) if origin_of(net) is not None else thin


def masked(plan: Plan, net: nn.Module, example: Tensor | Sequence[Tensor] | None = None) -> nn.Module:
    """A copy of ``net`` in its own size, whose cut units are silenced where they are read.

    In evaluation it computes what the cut network computes.

    >>> from nervure import nets, prune
    >>> net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8]).eval()
    >>> plan = prune.plan(net, None, "l1", prune.Target(keep=0.5))
    >>> import torch
    >>> x = torch.randn(2, 4)
    >>> torch.allclose(plan.masked(net)(x), plan.apply(net).eval()(x), atol=1e-5)
    True
    """
    plan.check(net)
    _, graph = _prepared(plan, net, example)
    twin = copy.deepcopy(net)
    attach(twin, graph.groups, by_group(graph.groups, plan.kept))
    return twin


def _prepared(plan: Plan, net: nn.Module, example: Tensor | Sequence[Tensor] | None) -> tuple[list[Tensor], Graph]:
    if example is not None:
        inputs = three(example)
    elif plan._trial is not None:
        inputs = plan._trial
    else:
        inputs = small(net, plan.drawn(3, place_of(net)[1]))
    if plan._graph is not None:
        return inputs, plan._graph
    try:
        return inputs, trace(net, inputs)
    except InputError as error:
        if example is not None:
            raise
        raise InputError(f"{error}; give example=, three samples that it reads") from error


def _corrected(
    plan: Plan, graph: Graph, reasons: Mapping[str, str], thin: nn.Module | None, inputs: Sequence[Tensor]
) -> Plan:
    """The plan with some groups whole, and the cost of the network that came of it."""
    rows = []
    for row in plan.rows:
        if row.group not in reasons:
            rows.append(row)
            continue
        places = np.unique(graph.group(row.group).side(row.layer).places).tolist()
        rows.append(row.model_copy(update={"kept": tuple(places), "why": f"whole: {reasons[row.group]}"}))
    change: dict[str, object] = {"rows": tuple(rows)}
    if thin is not None:
        example = plan.drawn(1, place_of(thin)[1]) if len(inputs) == 1 else list(inputs)
        cost = count(thin, example)
        macs = {one.name: one.ops for one in cost.rows}
        change["rows"] = tuple(row.model_copy(update={"macs_after": macs.get(row.layer, 0)}) for row in rows)
        change |= {"params_after": cost.params, "macs_after": cost.macs}
    corrected = plan.model_copy(update=change)
    corrected._graph = plan._graph
    return corrected
