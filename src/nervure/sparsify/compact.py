"""compact: a smaller network without the units that lost all their incoming or all their outgoing edges."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.evidence import Table
from nervure.nets.origin import Step, origin_of
from nervure.nets.resize import difference as resized
from nervure.nets.shadow import place_of
from nervure.nets.steps import derive
from nervure.nets.structure.check import difference, outputs, refuse_broken, three
from nervure.nets.structure.copying import copied
from nervure.nets.structure.cut import cut
from nervure.nets.structure.layers import examined
from nervure.nets.structure.silence import default_example
from nervure.nets.structure.slices import replace
from nervure.nets.structure.surgery import Graph
from nervure.sparsify.emptied import Emptied, emptied
from nervure.sparsify.reach import Affine, constants, other_sizes

__all__ = ["Compacted", "compact", "compacted", "fold"]

log = logging.getLogger(__name__)

_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Compacted:
    """A compacted network, and what became of the units that had lost their edges, by the first layer of each group.

    Parameters
    ----------
    net : Module
        The smaller network.
    units : mapping of str to int
        How many units there were.
    removed : mapping of str to int
        How many went.
    folded : mapping of str to int
        How many of these left a constant, which a bias took.
    stayed : mapping of str to mapping of str to int
        Units without incoming or without outgoing edges that are still there, counted by reason.
    """

    net: nn.Module = field(repr=False)
    units: Mapping[str, int]
    removed: Mapping[str, int]
    folded: Mapping[str, int]
    stayed: Mapping[str, Mapping[str, int]]

    def table(self) -> Table:
        """The same as evidence: a row for each layer that lost units or kept empty ones."""
        rows: list[tuple[str | int, ...]] = []
        for name, units in self.units.items():
            why = self.stayed.get(name, {})
            if self.removed.get(name) or why:
                reasons = "; ".join(f"{count}: {reason}" for reason, count in why.items())
                gone = self.removed.get(name, 0)
                rows.append((name, units, gone, self.folded.get(name, 0), sum(why.values()), reasons))
        gone, stayed = sum(self.removed.values()), sum(sum(one.values()) for one in self.stayed.values())
        return Table(
            title="Units that lost their edges",
            alt=f"{gone} units were removed; {stayed} without incoming or outgoing edges stayed.",
            columns=("layer", "units", "removed", "folded into a bias", "stayed empty", "why"),
            rows=rows,
        )


def compact(net: nn.Module, example: Tensor | Sequence[Tensor] | None = None) -> nn.Module:
    """A smaller network that gives the same in evaluation: units without incoming or without outgoing edges go.

    Parameters
    ----------
    net : Module
        With exact zeros in its weights, or masked; it is not changed.
    example : tensor or sequence of tensors, optional
        Samples (n, ...) that it reads; by default random ones of the shape that it was built for.

    Returns
    -------
    Module
        One step ``resize`` further from its origin. A unit without incoming edges gives a constant: the next bias
        takes it where that is exact; elsewhere only a unit whose constant is zero goes.

    Examples
    --------
    >>> from nervure import nets
    >>> net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8]).requires_grad_(False)
    >>> net.classifier[0].weight[:3] = 0
    >>> net.classifier[2].weight[:, 6:] = 0
    >>> compact(net).classifier[2]
    Linear(in_features=3, out_features=2, bias=True)
    """
    return compacted(net, example).net


def compacted(net: nn.Module, example: Tensor | Sequence[Tensor] | None = None) -> Compacted:
    """The same as :func:`compact`, with what went, what left a constant, and what stayed and why.

    The compacted network runs beside the given one, on the example, on random input, and on other sizes of maps if
    the network takes them; it must give the same to 1e-6. A group of units that spoils this stays whole.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)).requires_grad_(False)
    >>> net[0].weight[1] = 0
    >>> found = compacted(net, torch.randn(3, 2))
    >>> dict(found.removed), dict(found.folded), found.net[1]
    ({'0': 1}, {'0': 1}, Linear(in_features=2, out_features=2, bias=True))
    """
    device, dtype = place_of(net)
    if device.type == "meta":
        raise InputError(f"{type(net).__name__} has shapes but no weights; load them before it is compacted")
    inputs = three(default_example(net).to(dtype) if example is None else example)
    net = _unmasked(net)
    refuse_broken(net, inputs)
    graph, trial, _ = examined(net, inputs)
    consumers = {side.module for group in graph.groups for side in group.sides if side.kind == "in"}
    fixed = constants(*_exact(net, inputs, dtype), consumers)
    trials = _trials(net, trial)
    whole: dict[str, str] = {}
    while True:
        found = emptied(net, graph, fixed, whole)
        thin, reason = _checked(net, graph, found, trials)
        if thin is not None:
            break
        name, reason = _offender(net, graph, found, trials)
        log.warning("%s stays whole: %s", name, reason)
        whole[name] = reason
    if found.gone and origin_of(net) is not None:
        thin = derive(net, thin, Step("resize", resized(net, thin)))
    return Compacted(
        thin,
        {group.name: group.units for group in graph.groups},
        {name: int(gone.sum()) for name, gone in found.gone.items()},
        found.folded,
        found.stays,
    )


def fold(layer: Affine, constant: Tensor) -> None:
    """Let a layer's bias take what constant inputs (in,) give, each the same at every position; ``layer`` is changed.

    >>> layer = nn.Linear(2, 1, bias=False).requires_grad_(False)
    >>> layer.weight[:] = torch.tensor([2.0, 5.0])
    >>> fold(layer, torch.tensor([3.0, 0.0]))
    >>> layer.bias.tolist()
    [6.0]
    """
    weight = layer.weight.detach().double()
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    each = weight.flatten(2).sum(2) if weight.ndim > 2 else weight
    blocks = each.view(groups, -1, each.shape[1]) @ constant.to(each).view(groups, -1, 1)
    shift = blocks.flatten()
    if not shift.any():
        return
    if layer.bias is None:
        layer.bias = nn.Parameter(shift.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad)
    else:
        replace(layer, "bias", (layer.bias.detach().double() + shift).to(layer.bias.dtype))


def _unmasked(net: nn.Module) -> nn.Module:
    from nervure.sparsify.masked import bake, masks_of

    return bake(net) if masks_of(net) else net


def _exact(net: nn.Module, inputs: list[Tensor], dtype: torch.dtype) -> tuple[nn.Module, list[Tensor]]:
    """The network and its inputs in a precision in which a constant is worth folding."""
    if dtype in (torch.float32, torch.float64):
        return net, inputs
    return _doubled(net), [one.double() if one.is_floating_point() else one for one in inputs]


def _doubled(net: nn.Module) -> nn.Module:
    return copy.deepcopy(net).double()


def _without(net: nn.Module, graph: Graph, found: Emptied) -> nn.Module:
    """The network without what can go."""
    ready = copied(net)
    for name, constant in found.shifts.items():
        layer = ready.get_submodule(name)
        assert isinstance(layer, Affine)
        fold(layer, constant.to(layer.weight.device))
    return cut(ready, graph.groups, {name: np.flatnonzero(~gone) for name, gone in found.gone.items()})


def _trials(net: nn.Module, inputs: Sequence[Tensor]) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Inputs, and what the network gives for them: the example, random values, and other sizes that it takes."""
    generator = torch.Generator().manual_seed(1)
    drawn = [
        3 * torch.randn(one.shape, generator=generator).to(one) if one.is_floating_point() else one for one in inputs
    ]
    found = [(given, outputs(net, given)) for given in (list(inputs), drawn)]
    for sized in other_sizes(drawn):
        try:
            found.append((sized, outputs(net, sized)))
        except Exception:  # a network for one size alone
            continue
    return [one for one in found if all(bool(out.isfinite().all()) for out in one[1])]


def _checked(
    net: nn.Module, graph: Graph, found: Emptied, trials: Sequence[tuple[list[Tensor], list[Tensor]]]
) -> tuple[nn.Module | None, str]:
    """The network without what can go, and nothing; or nothing, and why it does not give the same."""
    try:
        thin = _without(net, graph, found)
        for inputs, gave in trials:
            gap = difference(gave, outputs(thin, inputs))
            if _TOLERANCE < gap < math.inf:
                # Rounding, above all of half precision, is told from a mistake in double precision.
                doubled = [one.double() if one.is_floating_point() else one for one in inputs]
                wide = _without(_doubled(net), graph, found)
                gap = difference(outputs(_doubled(net), doubled), outputs(wide, doubled))
            if not gap <= _TOLERANCE:
                return None, f"without its empty units the network gives another result ({gap:.1e})"
    except Exception as error:  # a stranger's forward may raise anything once its sizes have changed
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, f"without its empty units the network fails: {reason}"
    return thin, ""


def _offender(
    net: nn.Module, graph: Graph, found: Emptied, trials: Sequence[tuple[list[Tensor], list[Tensor]]]
) -> tuple[str, str]:
    """The first group, from the last backwards, whose units cannot go, and why.

    What is read by nothing but units that go with a later group is found after that group.
    """
    names = [group.name for group in reversed(graph.groups) if group.name in found.gone]
    reason = ""
    for count, name in enumerate(names, 1):
        some = {one: found.gone[one] for one in names[:count]}
        part = Emptied(some, _shifts_of(graph, found, some), {}, {})
        thin, reason = _checked(net, graph, part, trials)
        if thin is None:
            return name, reason
    raise InputError(f"{type(net).__name__} does not give the same twice; it cannot be compacted")


def _shifts_of(graph: Graph, found: Emptied, gone: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The constants of some groups' units alone."""
    shifts: dict[str, Tensor] = {}
    for name, units in gone.items():
        for side in graph.group(name).sides:
            if side.kind == "in" and side.module in found.shifts:
                at = torch.from_numpy(side.places[units[side.units]])
                whole = found.shifts[side.module]
                shifts.setdefault(side.module, torch.zeros_like(whole))[at] = whole[at]
    return shifts
