"""layers: the layers whose units can be cut, each with the place where its units are read."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nervure.errors import InputError
from nervure.judge import Layer
from nervure.nets.shadow import place_of
from nervure.nets.structure.check import proven, smaller, three
from nervure.nets.structure.groups import Group
from nervure.nets.structure.slices import OWN_WEIGHTS
from nervure.nets.structure.surgery import Graph, follow, trace
from nervure.nets.structure.twin import Call, Seen, shadow
from nervure.observe.layout import LAST_AXIS
from nervure.observe.statistic import Site

__all__ = ["examine", "examined", "layers", "layers_in"]


def layers(net: nn.Module, example: Tensor | Sequence[Tensor]) -> tuple[Layer, ...]:
    """Every layer whose units can be cut, in the order of calls.

    Parameters
    ----------
    net : Module
        Any network; it is not changed.
    example : tensor or sequence of tensors
        Samples (n, ...) that it reads.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> import torch
    >>> [(layer.name, layer.units, layer.spread, layer.reader) for layer in layers(net, torch.randn(2, 1, 4, 4))]
    [('0', 4, 4, Site(module='3', side='input')), ('3', 3, 1, Site(module='5', side='input'))]
    """
    graph = examine(net, example)
    return layers_in(net, graph, graph.free)


def examine(net: nn.Module, example: Tensor | Sequence[Tensor]) -> Graph:
    """Trace a network, and keep whole every group that a trial cut shows to be wrong."""
    return examined(net, example)[0]


def examined(net: nn.Module, example: Tensor | Sequence[Tensor]) -> tuple[Graph, list[Tensor], nn.Module]:
    """The same, with the three samples on which a check may run, and a copy of the network that is free for use."""
    inputs = three(example)
    if place_of(net)[0].type == "meta":
        return trace(net, inputs), inputs, shadow(net)
    twin = shadow(net)
    for cropped in smaller(inputs):
        try:
            graph = follow(net, twin, cropped)
        except InputError:  # a network for one size of map alone
            continue
        if all(shape and shape[0] == len(cropped[0]) for shape in graph.gives):
            return proven(twin, graph, cropped), cropped, twin
    light = sum(one.numel() for one in inputs) <= _LIGHT
    graph = follow(net, twin, inputs) if light else trace(net, inputs)
    return proven(twin, graph, inputs), inputs, twin


# Up to so many values, samples are run for real: a copy without data is slower than small maps.
_LIGHT = 1 << 16


def layers_in(net: nn.Module, graph: Graph, groups: Sequence[Group]) -> tuple[Layer, ...]:
    """The layers whose units these groups are."""
    modules = dict(net.named_modules())
    names = sorted({name for group in groups for name in group.layers}, key=lambda name: graph.order.get(name, 0))
    found = []
    for name in names:
        own = [group for group in groups if name in group.layers]
        site, spread = _reader(graph, name, own, modules)
        consumers = dict.fromkeys(consumer for group in own for consumer in group.consumers)
        found.append(Layer(name, modules[name], own[0].side(name).size, site, spread, tuple(consumers)))
    return tuple(found)


def _reader(graph: Graph, name: str, own: Sequence[Group], modules: dict[str, nn.Module]) -> tuple[Site, int]:
    """The input of the next consumer that reads just these units, or else the output of the last module before it.

    Maps are preferred to what was pooled for a gate: a consumer that reads as many dimensions as the layer gives.
    """
    call = next((one for one in graph.calls if one.module == name), None)
    group = own[0]
    if len(own) == 1 and group.side(name).plain and call is not None:
        after = []
        for consumer in group.consumers:
            read = next((one for one in graph.calls if one.module == consumer), None)
            side = group.side(consumer, "in")
            if read is not None and side.plain and graph.order[consumer] > graph.order[name]:
                flat = len(read.given.shape) != len(call.gave.shape)
                after.append((flat, graph.order[consumer], consumer, side.factor))
        if after:
            _, _, consumer, factor = min(after)
            return Site(consumer, "input"), factor
    return Site(_last(graph, call, modules) if call is not None else name), 1


def _last(graph: Graph, call: Call, modules: dict[str, nn.Module]) -> str:
    """The last of the norms, activations and pools that the layer's output passes alone."""
    at, value = call.module, call.gave
    units = _units(modules[at], value)
    seen = {at}
    while True:
        readers = {one.module: one for one in graph.calls if one.given.mark == value.mark and one.module not in seen}
        if len(readers) != 1:
            return at
        one = next(iter(readers.values()))
        module = modules[one.module]
        if isinstance(module, OWN_WEIGHTS) or _units(module, one.gave, modules[call.module]) != units:
            return at
        at, value = one.module, one.gave
        seen.add(at)


def _units(module: nn.Module, value: Seen, like: nn.Module | None = None) -> int:
    """How many units observation would see in what a module gives."""
    last = isinstance(module, LAST_AXIS)
    if like is not None and len(value.shape) > 2 and isinstance(like, LAST_AXIS) != last:
        return -1
    return value.shape[-1] if last else value.shape[1] if len(value.shape) > 1 else -1
